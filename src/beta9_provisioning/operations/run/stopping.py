"""Stopping a running operation: one request, one reason, seen by everything the operation started."""

from enum import StrEnum

from beta9_provisioning.kit import runtime


class StopReason(StrEnum):
    """Why an operation was asked to stop before its end."""

    CANCELLED = "cancelled"
    WORKER_STOPPED = "worker_stopped"
    TIMED_OUT = "timed_out"
    LEASE_LOST = "lease_lost"


class Stop:
    """A stop request that can be made from any thread; the first reason counts.

    A lost lease outranks every other: from then on nothing can be written, whyever the operation stops.
    """

    def __init__(self) -> None:
        self._lock = runtime.lock()
        self._reason: StopReason | None = None
        self._late = ""
        self._branches: list[runtime.Event] = []
        self.event = self.branch()

    @property
    def reason(self) -> StopReason | None:
        """The reason that counts; None when nobody has asked."""
        return self._reason

    @property
    def late(self) -> str:
        """What took too long, if that is why: a phase, or `operation` (`run.deadlines`)."""
        return self._late

    def request(self, reason: StopReason, *, late: str = "") -> None:
        """Ask the operation to stop; `late` says what took too long, if that is why."""
        with self._lock:
            if self._reason is None or reason is StopReason.LEASE_LOST:
                self._reason, self._late = reason, late
            for branch in self._branches:
                branch.set()

    def branch(self) -> runtime.Event:
        """Return an event that is set with the request, and that may be set alone to stop one part."""
        event = runtime.event()
        with self._lock:
            self._branches.append(event)
            if self._reason is not None:
                event.set()
        return event
