"""How long a client may take, and how much may be open at the same time in one process."""

import resource
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

# Files and connections of the process itself: database, queue, listener, logs.
_OWN_FILES = 100


@dataclass(frozen=True)
class Limits:
    """Times are in seconds.

    Attributes:
        connections: open at the same time. A new one takes the place of the one that has waited for a request
            the longest.
        head_seconds: from a connection's start, or the first byte of a further request, to the end of the
            request's headers. After an answer, what is left of its request's body must come in this time.
        body_seconds: from a request's headers to the end of its body, and more for each byte that has come.
        answer_seconds: after so long without enough of an answer being read, the connection ends.
        rate: bytes a second; what makes progress at this rate is in time.
    """

    connections: int = 2000
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    answer_seconds: float = 60.0
    rate: int = 4096

    @property
    def requests(self) -> int:
        """Requests that are worked on at the same time; the other connections are for probes and new ones."""
        return self.connections * 9 // 10


def of_process(connections: int) -> Limits:
    """Return the limits of this process; there are fewer connections if it may not open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OWN_FILES
    if soft < wanted and soft != resource.RLIM_INFINITY:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            log.warning(
                "few_open_files", limit=soft, connections=soft - _OWN_FILES, max_connections=connections
            )
            return Limits(connections=max(soft - _OWN_FILES, 1))
    return Limits(connections=connections)
