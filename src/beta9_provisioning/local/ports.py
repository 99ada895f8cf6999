"""TCP ports of 127.0.0.1: find a free one, and say who holds a taken one."""

import socket
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"
_LISTENING = "0A"


class PortTaken(Exception):
    """A port that was asked for is in use; the message names it, its holder if known, and the way out."""


def free_port() -> int:
    """Return a port that was free a moment ago; whoever listens on it must be ready to lose the race."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port now (connections in TIME_WAIT do not count)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def require_free(port: int, purpose: str, remedy: str) -> None:
    """Do nothing when the port is free.

    Raises:
        PortTaken: it is not.
    """
    if is_free(port):
        return
    who = holder(port)
    by = f" by {who}" if who else " by another program"
    raise PortTaken(f"Port {port} for {purpose} is taken{by}. {remedy}")


def holder(port: int) -> str | None:
    """Return `NAME (pid N)` of the process that listens on the port, if this user may see it."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if _open_files(process) & inodes:
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # another user's process, or one that has just ended
            continue
    return None


def _open_files(process: Path) -> set[str]:
    found = set()
    for entry in (process / "fd").iterdir():
        with suppress(OSError):  # closed since it was listed
            found.add(str(entry.readlink()))
    return found


def _listening_inodes(port: int) -> set[str]:
    """Sockets that listen on the port, as `/proc/<pid>/fd` spells them (proc(5), /proc/net/tcp)."""
    found: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
