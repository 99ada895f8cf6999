"""Taking a port, and the one sentence to an operator when it is not to be had."""

import errno
import os
import socket
from functools import partial
from ipaddress import ip_address


def listen(host: str, port: int, count: int = 1) -> list[socket.socket]:
    """Return sockets that share a port, 0 any free one; the system spreads connections among them.

    Raises:
        OSError: the address is taken, not this machine's, or cannot be resolved.
    """
    create = partial(
        socket.create_server, family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
    )
    alone = create((host, port))
    if count == 1:
        return [alone]
    # Sockets that share a port also share it with those of another program of the same user: the port was
    # taken by itself first to see that there is none.
    port = alone.getsockname()[1]
    alone.close()
    return [create((host, port), reuse_port=True) for _ in range(count)]


def cannot_listen(setting: str, host: str, port: int, error: OSError) -> str:
    """Return what to tell the operator; `setting` is how the names of the settings begin, such as `API`."""
    # Python adds the address to the system's words for some of them.
    number = error.errno or 0
    why = os.strerror(number) if number in errno.errorcode else str(error)
    return (
        f"{setting}_HOST and {setting}_PORT name {host}, port {port}, where nothing can listen: {why}. "
        "Stop what listens there, or set others."
    )


def is_loopback(host: str) -> bool:
    """Return whether a name or address can only be the machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
