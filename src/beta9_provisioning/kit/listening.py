"""Taking a port, and the one sentence to an operator when it is not to be had."""

import errno
import os
import socket


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; 0 takes any free port.

    Raises:
        OSError: the address is taken, not this machine's, or cannot be resolved.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def cannot_listen(setting: str, host: str, port: int, error: OSError) -> str:
    """Return what to tell the operator; `setting` is how the names of the settings begin, such as `API`."""
    # Python adds the address to the system's words for some of them.
    number = error.errno or 0
    why = os.strerror(number) if number in errno.errorcode else str(error)
    return (
        f"{setting}_HOST and {setting}_PORT name {host}, port {port}, where nothing can listen: {why}. "
        "Stop what listens there, or set others."
    )
