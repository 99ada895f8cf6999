"""How long an operation may take: each phase of an attempt, and the operation over all its attempts.

Whatever is late is asked to stop, as by a cancel: Terraform gets one interrupt and saves its state.
"""

from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Self

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import repeat
from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from beta9_provisioning.operations.records.store import Claim, Failure
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.settings import Settings

OPERATION = "operation"
"""What is late when the operation is, and not one phase of it."""

_PHASES = {
    OperationStatus.PLANNING: "plan",
    OperationStatus.APPLYING: "apply",
    OperationStatus.BOOTSTRAPPING: "bootstrap",
    OperationStatus.DESTROYING: "destroy",
}
_DOING = {
    "plan": "Preparing the operation",
    "apply": "Creating infrastructure",
    "bootstrap": "The bootstrap of the cluster",
    "destroy": "The destroy",
    OPERATION: "The operation, over all its attempts,",
}
_LOOK_SECONDS = 1.0


class Deadlines:
    """Watches one attempt, on a thread of its own, while it is used in a `with` statement."""

    def __init__(
        self, claim: Claim, settings: Settings, stop: Stop, clock: Callable[[], float] = runtime.monotonic
    ) -> None:
        """Take what is watched; `clock` tells seconds that never jump."""
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._lock = runtime.lock()
        # Before this attempt the database's clock counted (`Claim.spent`), from now on ours does.
        self._due = {OPERATION: clock() - claim.spent + _minutes(settings, OPERATION) * 60}
        self._status: OperationStatus | None = None
        self._ended = runtime.event()
        self._thread = runtime.thread(
            copy_context().run, self._run, name=f"deadlines-{claim.operation_id}", daemon=True
        )

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def enter(self, status: OperationStatus) -> None:
        """Take note that a step begins in this status: its phase's time begins with its first step.

        Only of what applies each step has the whole time: it is the time of one run of Terraform.
        """
        if status is self._status and status is not OperationStatus.APPLYING:
            return
        self._status, phase = status, _PHASES[status]
        due = self._clock() + _minutes(self._settings, phase) * 60
        with self._lock:
            self._due = {OPERATION: self._due[OPERATION], phase: due}

    def look(self) -> None:
        """Ask the attempt to stop if it is late."""
        now = self._clock()
        with self._lock:
            late = next((what for what, due in self._due.items() if due <= now), None)
        if late is not None:
            self._stop.request(StopReason.TIMED_OUT, late=late)

    def _run(self) -> None:
        repeat("deadlines", self.look, every=_LOOK_SECONDS, ended=self._ended, longest=_LOOK_SECONDS)


def too_late(late: str, kind: Kind, settings: Settings, detail: str) -> Failure:
    """Return what to tell about an attempt that was stopped because this was late."""
    again = (
        "Delete the environment again: it goes on where this one ended."
        if kind is Kind.DESTROY
        else "Delete the environment to remove what was created, then create it again."
    )
    return Failure(
        Reason.TIMEOUT,
        f"{late}_timeout",
        f"{_DOING[late]} took longer than {_minutes(settings, late):g} minutes and was stopped.",
        detail,
        f"{again} If it needs more time, the operator of this service raises {late.upper()}_TIMEOUT_MINUTES.",
    )


def _minutes(settings: Settings, late: str) -> float:
    return {
        "plan": settings.plan_timeout_minutes,
        "apply": settings.apply_timeout_minutes,
        "bootstrap": settings.bootstrap_timeout_minutes,
        "destroy": settings.destroy_timeout_minutes,
        OPERATION: settings.operation_timeout_minutes,
    }[late]
