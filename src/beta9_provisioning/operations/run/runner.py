"""Runs a claimed operation: a list of steps and one loop. Load, work, apply: no session stays open."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Any, Protocol

import structlog

from beta9_provisioning.engine.errors import DiskFull, EngineError, Interrupted, NotSupported, Stopped
from beta9_provisioning.kit import runtime, tracing
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.lifecycle import PATHS, OperationStatus, Reason
from beta9_provisioning.operations.records.proof import fate_of
from beta9_provisioning.operations.records.resuming import STOPPED, hand_back
from beta9_provisioning.operations.records.store import (
    CANCELLED,
    Claim,
    Failure,
    LeaseLost,
    advance,
    fail,
    succeed,
)
from beta9_provisioning.operations.run.charts import ChartsNotConfigured
from beta9_provisioning.operations.run.context import ConfigurationUnreadable, Context
from beta9_provisioning.operations.run.deadlines import Deadlines, too_late
from beta9_provisioning.operations.run.full_disk import full_disk
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.operations.run.toolbox import GENUINE, SynthesizerPort, Tools
from beta9_provisioning.settings import Settings

log = structlog.get_logger(__name__)


class Unfinished(StrEnum):
    """How an attempt ended whose operation goes on without it."""

    LEASE_LOST = "lease_lost"
    """Another worker has taken it over, or will."""
    HANDED_BACK = "handed_back"
    """It was left to the next worker that asks."""


@dataclass(frozen=True)
class Step:
    """One step of a workflow.

    Attributes:
        name: machine-readable.
        title: what people see while it runs, such as "Creating infrastructure".
        status: the operation's status while it runs.
        reason: why the operation failed when this step fails.
        run: does the work, or raises EngineError.
    """

    name: str
    title: str
    status: OperationStatus
    reason: Reason
    run: Callable[[Context], None]


Workflows = Callable[[Claim], tuple[Step, ...]]


class StepObserver(Protocol):
    """Is told of every step that has ended, and how many seconds it took."""

    def __call__(self, step: Step, seconds: float, *, succeeded: bool) -> None:
        """Take note."""


def _unobserved(step: Step, seconds: float, *, succeeded: bool) -> None:
    """Take no note."""


class Runner:
    """Runs operations of this worker by its workflows; the caller opens and closes the synthesizer."""

    def __init__(
        self,
        factory: Sessions,
        settings: Settings,
        synthesizer: SynthesizerPort,
        workflows: Workflows,
        observe: StepObserver = _unobserved,
        *,
        tools: Tools = GENUINE,
    ) -> None:
        self._factory = factory
        self._settings = settings
        self._synthesizer = synthesizer
        self._workflows = workflows
        self._observe = observe
        self._tools = tools

    def run(self, claim: Claim, stop: Stop) -> OperationStatus | Unfinished:
        """Run a claimed operation to its end, or to that of this attempt, and return how it ended.

        Whatever goes wrong between the claim and the end is told: in a step, beside the steps, or while what
        they opened is closed.
        """
        with _followed(claim) as span:
            log.info("operation_started", kind=claim.kind)
            try:
                status = self._run(claim, stop)
            except LeaseLost as error:
                log.warning("lease_lost", detail=str(error))
                span.fail(Unfinished.LEASE_LOST)
                return Unfinished.LEASE_LOST
            log.info("operation_ended", kind=claim.kind, status=status)
            span.note({"provisioning.outcome": status})
            if status is not OperationStatus.SUCCEEDED:
                span.fail(status)
            return status

    def _run(self, claim: Claim, stop: Stop) -> OperationStatus | Unfinished:
        recorder = Recorder(self._factory, claim, stop)
        try:
            with recorder:
                before, outputs = self._work(claim, stop, recorder)
                recorder.insist(lambda session: succeed(session, claim, before, outputs))
        except LeaseLost:
            raise
        except _StepFailed as error:
            failure = error.failure
            if error.outcome is not None:
                return self._hand_back(claim, recorder, error.outcome, failure)
            is_over = True
        except (Exception, SystemExit) as error:  # a library's SystemExit ends nothing on this thread
            log.exception("operation_crashed")
            failure = _crashed("The operation", error)
            is_over = False
        else:
            return OperationStatus.SUCCEEDED
        recorder.insist(lambda session: fail(session, claim, failure, is_over=is_over))
        cancelled = failure.reason is Reason.CANCELLED
        return OperationStatus.CANCELLED if cancelled else OperationStatus.FAILED

    def _hand_back(
        self, claim: Claim, recorder: Recorder, outcome: str, failure: Failure
    ) -> OperationStatus | Unfinished:
        """Leave the operation to another attempt, unless it is to end now."""
        ended = recorder.insist(lambda session: hand_back(session, claim, outcome, failure))
        return ended or Unfinished.HANDED_BACK

    def _work(
        self, claim: Claim, stop: Stop, recorder: Recorder
    ) -> tuple[OperationStatus, dict[str, Any] | None]:
        """Take all steps, close what they opened, and return the last one's status and the public outputs."""
        with _Resources() as resources:
            context = self._context(claim, stop, recorder, resources)
            steps = self._workflows(claim)
            with Deadlines(claim, self._settings, stop) as deadlines:
                self._walk(context, steps, deadlines)
        return steps[-1].status, context.public_outputs

    def _context(self, claim: Claim, stop: Stop, recorder: Recorder, resources: ExitStack) -> Context:
        proof = partial(fate_of, self._factory)
        tools = self._tools
        return Context(claim, self._settings, stop, recorder, self._synthesizer, resources, proof, tools)

    def _walk(self, context: Context, steps: Sequence[Step], deadlines: Deadlines) -> None:
        # The claim has moved the operation to its first working status, or an earlier attempt further.
        path, status = PATHS[context.claim.kind], context.claim.status
        for step in steps:
            if path.index(step.status) > path.index(status):
                self._advance(context, status, step.status)
                status = step.status
            deadlines.enter(step.status)
            _traced(step, partial(self._run_step, context, step))

    def _advance(self, context: Context, before: OperationStatus, after: OperationStatus) -> None:
        claim = context.claim
        context.recorder.insist(lambda session: advance(session, claim, before, after))

    def _run_step(self, context: Context, step: Step) -> None:
        emit = context.recorder.emit
        emit("step.started", f"{step.title}: started.", step=step.name, title=step.title)
        context.recorder.progress(step.title)
        # Written before the work begins: what the journal does not know has not been started.
        context.recorder.insist(lambda _: None)
        began = runtime.monotonic()
        try:
            _run_unless_stopped(step, context)
        except LeaseLost:
            raise
        except (Exception, SystemExit) as error:
            told = full_disk(error, context.settings.workdir_base) or error
            failure = _failure(step, told, context)
            outcome = _interruption(told, context.stop)
            seconds = round(runtime.monotonic() - began, 3)
            self._observe(step, seconds, succeeded=False)
            type_ = "step.failed" if outcome is None else "step.interrupted"
            emit(type_, failure.message, step=step.name, title=step.title, seconds=seconds)
            raise _StepFailed(failure, outcome) from error
        seconds = round(runtime.monotonic() - began, 3)
        self._observe(step, seconds, succeeded=True)
        emit("step.finished", f"{step.title}: done.", step=step.name, title=step.title, seconds=seconds)


@contextmanager
def _followed(claim: Claim) -> Iterator[tracing.Span]:
    """Have what the attempt logs carry its ids, and open its span, which continues the request's trace."""
    ids: dict[str, Any] = {
        "environment_id": claim.environment_id,
        "operation_id": claim.operation_id,
        "attempt": claim.attempt,
    }
    about = {f"provisioning.{name}": value for name, value in ids.items()} | claim.origin.attributes()
    parent = claim.origin.traceparent
    with tracing.span(f"attempt {claim.kind}", about, parent=parent, role="consumer") as span:
        origin = replace(claim.origin, traceparent=span.traceparent or parent)
        with structlog.contextvars.bound_contextvars(**ids, **origin.fields()):
            yield span


def _traced(step: Step, run: Callable[[], None]) -> None:
    about = {"provisioning.step": step.name, "provisioning.phase": step.status}
    with tracing.span(f"step {step.name}", about) as span:
        try:
            run()
        except _StepFailed as error:
            span.fail(error.failure.code, error.failure.message)
            raise


class _Resources(ExitStack):
    """Closes what the steps opened. After a failure that failure is the one to tell: others are logged."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return super().__exit__(kind, error, trace)
        except Exception:
            if error is None:
                raise
            log.exception("closing_failed")
            return False


class _StepFailed(Exception):
    """A step that did not get to its end; with an outcome the attempt ends, and not the operation."""

    def __init__(self, failure: Failure, outcome: str | None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.outcome = outcome


_STOPPED = {
    StopReason.CANCELLED: CANCELLED,
    StopReason.WORKER_STOPPED: Failure(
        Reason.WORKER_STOPPED, STOPPED, "The worker was shut down before the operation had ended."
    ),
}
# What says by itself why an operation failed, in whichever step it comes up.
_REASONS = {"timeout": Reason.TIMEOUT, "adoption_timeout": Reason.TIMEOUT, "leftovers": Reason.LEFTOVERS}
_OPERATORS_AFFAIR = (DiskFull, ChartsNotConfigured)


def _interruption(error: BaseException, stop: Stop) -> str | None:
    """Return the attempt's outcome when a step was interrupted by what says nothing against the operation."""
    if stop.reason is StopReason.WORKER_STOPPED and isinstance(error, EngineError):
        return STOPPED
    if stop.reason is None and isinstance(error, Interrupted):
        return error.code
    return None


def _run_unless_stopped(step: Step, context: Context) -> None:
    if context.stop.event.is_set():
        raise Stopped("The operation was stopped.")
    step.run(context)


def _told(reason: Reason, error: EngineError) -> Failure:
    return Failure(reason, error.code, error.message, error.detail, error.remedy)


def _crashed(doing: str, error: BaseException) -> Failure:
    """Return what to tell about a fault of our own; what it says of our inside is for the log alone."""
    return Failure(
        Reason.INTERNAL,
        "internal_error",
        f"{doing} failed because of a fault in the service.",
        f"{type(error).__name__}; the worker's log has the details.",
        "Report it with the operation's id.",
    )


def _reason(step: Step, error: EngineError) -> Reason:
    if isinstance(error, NotSupported | ConfigurationUnreadable):
        return Reason.CONFIGURATION
    if isinstance(error, _OPERATORS_AFFAIR):
        return Reason.INTERNAL
    return _REASONS.get(error.code, step.reason)


def _failure(step: Step, error: BaseException, context: Context) -> Failure:
    """Return what to tell about a step that raised."""
    stop = context.stop
    if isinstance(error, EngineError):
        # What fails after a stop request fails because of it, whatever the tool calls it.
        if stop.reason is StopReason.LEASE_LOST:
            raise LeaseLost("the lease was lost") from error
        if stop.reason is StopReason.TIMED_OUT:
            return too_late(stop.late, context.claim.kind, context.settings, error.detail)
        if stop.reason is not None:
            return replace(_STOPPED[stop.reason], detail=error.detail)
        if isinstance(error, _OPERATORS_AFFAIR):
            log.error(error.code, step=step.name, detail=error.detail)
        return _told(_reason(step, error), error)
    log.error("step_crashed", step=step.name, exc_info=error)
    return _crashed(step.title, error)
