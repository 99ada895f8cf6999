"""Lines of log of an attempt carry its ids, whichever thread writes them, and lend them to nobody."""

import threading
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

import structlog
from tests.operations.rows import make_environment, take
from tests.support.background import failures
from tests.support.loglines import Line, captured, named
from tests.support.refusals import refusing
from tests.support.waiting import until

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.origin import UNKNOWN, Origin
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Runner, Step
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.settings import Settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ORIGIN = Origin("call-1", f"00-{TRACE}-00f067aa0ba902b7-01")
FROM_CALLER = {"request_id": "call-1", "trace_id": TRACE}

log = structlog.get_logger(__name__)


def run(sessions: Sessions, tmp_path: Path, origin: Origin, fail: Exception | None = None) -> Claim:
    """Run a step that logs, emits an event that the database refuses, and fails if it shall."""

    def work(context: Context) -> None:
        log.info("step_speaks")
        counted = failures("recorder")
        context.recorder.emit("test.refused", "Happened.")
        until(lambda: failures("recorder") > counted, "the recorder's own thread has met it")
        if fail is not None:
            raise fail

    claim = replace(take(sessions, make_environment(sessions).operation_id), origin=origin)
    path = (OperationStatus.PLANNING, OperationStatus.APPLYING, OperationStatus.BOOTSTRAPPING)
    nothing = [Step("none", "None", status, Reason.CONFIGURATION, lambda _: None) for status in path]
    steps = (*nothing, replace(nothing[-1], name="one", run=work))
    runner = Runner(sessions, Settings(workdir_base=tmp_path), new_synthesizer(), lambda _: steps)
    with refusing(sessions, "events", "type <> 'test.refused'"):
        runner.run(claim, Stop())
    return claim


def ids(claim: Claim) -> Line:
    return {"operation_id": claim.operation_id, "environment_id": claim.environment_id, "attempt": 1}


def test_one_attempt_after_another_on_the_same_thread(sessions: Sessions, tmp_path: Path) -> None:
    with captured() as lines:
        first = run(sessions, tmp_path, ORIGIN)
        log.info("between")
        second = run(sessions, tmp_path, UNKNOWN)
    for event in ("operation_started", "step_speaks", "operation_ended"):
        one, two = named(lines, event)
        assert one.items() >= {**ids(first), **FROM_CALLER}.items()
        assert two.items() >= ids(second).items()
        assert not set(FROM_CALLER) & set(two)
    assert named(lines, "between") == [{"event": "between", "log_level": "info"}]


def test_a_failed_attempt_lends_its_ids_to_nobody_either(sessions: Sessions, tmp_path: Path) -> None:
    with captured() as lines:
        for error in (EngineError("It broke.", code="broken"), RuntimeError("Ours.")):
            run(sessions, tmp_path, ORIGIN, error)
            log.info("between")
    assert {tuple(line) for line in named(lines, "between")} == {("event", "log_level")}
    (crash,) = named(lines, "step_crashed")
    assert crash.items() >= FROM_CALLER.items()


def test_the_recorders_thread_writes_in_the_attempts_name(sessions: Sessions, tmp_path: Path) -> None:
    with captured() as lines:
        claim = run(sessions, tmp_path, ORIGIN)
    (line,) = named(lines, "database_fault")
    assert line.items() >= {**ids(claim), **FROM_CALLER, "work": "recorder"}.items()


def test_a_context_can_be_entered_by_many_threads_when_each_has_its_own() -> None:
    """What the installation of charts side by side relies on."""
    with structlog.contextvars.bound_contextvars(request_id="call-1"), captured() as lines:
        together = threading.Barrier(3)

        def speak() -> None:
            together.wait(30)
            log.info("spoke")

        threads = [threading.Thread(target=copy_context().run, args=(speak,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [line["request_id"] for line in lines] == ["call-1"] * 3
