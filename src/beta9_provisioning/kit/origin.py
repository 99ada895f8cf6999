"""Where work comes from: the request that asked for it, and the trace that this belongs to.

Both come from headers of the caller, and go into logs, rows and traces. What is not of its form is left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Bounded, and without white space, quotes, brackets and what separates: it goes into lines of log as it is.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=-]{1,128}")
# https://www.w3.org/TR/trace-context-2/#traceparent-header: version, trace, parent, flags. Later versions may
# have more behind them; ff is none.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_VERSION = "00"
# Sampled, and of a random trace id: what this version knows of the flags.
_FLAGS = 0b11
_LONGEST = 256


@dataclass(frozen=True)
class Origin:
    """The id of a request, and its place in a trace.

    Attributes:
        traceparent: as W3C's Trace Context has it.
    """

    request_id: str | None = None
    traceparent: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace's id, of 32 hexadecimal digits."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]

    def fields(self) -> dict[str, str]:
        """Return what belongs into lines of log about this work."""
        known = {"request_id": self.request_id, "trace_id": self.trace_id}
        return {name: value for name, value in known.items() if value is not None}

    def attributes(self) -> dict[str, str]:
        """Return what belongs to a span of this work; its trace it knows."""
        return {} if self.request_id is None else {"provisioning.request_id": self.request_id}


UNKNOWN = Origin()
"""Of what nobody's request has asked for, or one that an earlier release took."""


def read(headers: Iterable[tuple[bytes, bytes]]) -> Origin:
    """Return what a request's headers, their names in small letters, say of where it comes from.

    A header that comes twice says nothing: nobody knows which one is meant.
    """
    ids, parents = [], []
    for name, value in headers:
        if name == b"x-request-id":
            ids.append(value)
        elif name == b"traceparent":
            parents.append(value)
    has_id = len(ids) == 1 and _REQUEST_ID.fullmatch(ids[0])
    return Origin(
        ids[0].decode() if has_id else None,
        traceparent(parents[0].decode("latin-1")) if len(parents) == 1 else None,
    )


def traceparent(text: str | None) -> str | None:
    """Return a parent as W3C wants it passed on, by the version known here; None when it is none."""
    found = _TRACEPARENT.fullmatch(text) if text and len(text) <= _LONGEST else None
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if not (trace.strip("0") and parent.strip("0")) or (more and version == _VERSION):
        return None
    return f"{_VERSION}-{trace}-{parent}-{int(flags, 16) & _FLAGS:02x}"
