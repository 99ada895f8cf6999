"""Spans of attempts, steps and resources: what is below what, what failed, and that no secret gets in."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.operations.rows import make_environment, take
from tests.support.loglines import captured, named
from tests.support.traces import CALLER, PARENT, TRACE, Traces, traced

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.kit import tracing
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.origin import UNKNOWN, Origin
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.store import Claim, LeaseLost
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.resource_spans import ResourceSpans
from beta9_provisioning.operations.run.runner import Runner, Step
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.settings import Settings

SECRET = "hunter2"
ORIGIN = Origin("call-1", PARENT)


def run(
    sessions: Sessions,
    tmp_path: Path,
    error: Exception | None = None,
    origin: Origin = ORIGIN,
) -> tuple[Claim, Traces]:
    """Run three steps, of which the last one raises if it shall."""

    def work(_: Context) -> None:
        if error is not None:
            raise error

    path = (OperationStatus.PLANNING, OperationStatus.APPLYING, OperationStatus.BOOTSTRAPPING)
    steps = [
        Step(f"in_{status}", "Title", status, Reason.BOOTSTRAP_FAILED, lambda _: None) for status in path
    ]
    steps[-1] = replace(steps[-1], run=work)
    claim = replace(take(sessions, make_environment(sessions).operation_id), origin=origin)
    runner = Runner(sessions, Settings(workdir_base=tmp_path), new_synthesizer(), lambda _: tuple(steps))
    with traced() as traces:
        runner.run(claim, Stop())
    return claim, traces


def test_an_attempt_continues_the_trace_of_its_request(sessions: Sessions, tmp_path: Path) -> None:
    claim, traces = run(sessions, tmp_path)
    attempt = traces.one("attempt provision")
    assert {span.trace for span in traces.spans} == {TRACE}
    assert attempt.parent == CALLER
    assert attempt.attributes == {
        "provisioning.environment_id": claim.environment_id,
        "provisioning.operation_id": claim.operation_id,
        "provisioning.attempt": 1,
        "provisioning.request_id": "call-1",
        "provisioning.outcome": "succeeded",
    }
    below = traces.below(attempt)
    assert [span.name for span in below] == ["step in_planning", "step in_applying", "step in_bootstrapping"]
    assert below[0].attributes == {"provisioning.step": "in_planning", "provisioning.phase": "planning"}
    assert not any(span.is_error for span in traces.spans)


def test_another_attempt_is_in_the_same_trace(sessions: Sessions, tmp_path: Path) -> None:
    (_, first), (_, second) = run(sessions, tmp_path), run(sessions, tmp_path)
    one, two = first.one("attempt provision"), second.one("attempt provision")
    assert (one.trace, one.parent) == (two.trace, two.parent) == (TRACE, CALLER)
    assert one.id != two.id


def test_what_no_trace_asked_for_has_one_of_its_own_and_logs_it(sessions: Sessions, tmp_path: Path) -> None:
    with captured() as lines:
        _, traces = run(sessions, tmp_path, origin=UNKNOWN)
    attempt = traces.one("attempt provision")
    assert attempt.parent == ""
    assert {line["trace_id"] for line in named(lines, "operation_started")} == {attempt.trace}


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            EngineError(f"It was refused: password={SECRET}", code="refused", detail=SECRET),
            "refused",
            "(hidden)",
        ),
        (RuntimeError(f"password={SECRET}"), "internal_error", "a fault in the service"),
    ],
    ids=["of-the-world", "of-ours"],
)
def test_a_failure_is_told_without_secrets(
    sessions: Sessions, tmp_path: Path, error: Exception, code: str, says: str
) -> None:
    _, traces = run(sessions, tmp_path, error)
    step, attempt = traces.one("step in_bootstrapping"), traces.one("attempt provision")
    assert (step.is_error, step.attributes["error.type"]) == (True, code)
    assert says in step.sentence
    assert (attempt.is_error, attempt.attributes["provisioning.outcome"]) == (True, "failed")
    assert SECRET not in str(traces.spans)


def test_a_lost_lease_is_told(sessions: Sessions, tmp_path: Path) -> None:
    _, traces = run(sessions, tmp_path, LeaseLost("taken"))
    assert traces.one("attempt provision").attributes["error.type"] == "lease_lost"


def event(
    kind: str, address: str | None, action: str | None = "create", type_: object = "aws_vpc"
) -> TerraformEvent:
    hook = {"resource": {"addr": address, "resource_type": type_}, "action": action, "id_value": SECRET}
    return TerraformEvent(kind, "info", f"It said {SECRET}.", "", address, action, {"hook": hook})


def test_each_resource_has_a_span_below_its_step() -> None:
    spans = ResourceSpans()
    with traced() as traces, tracing.span("step apply", {}):
        for kind in ("apply_start", "apply_progress", "apply_complete"):
            spans.take(event(kind, "aws_vpc.main"))
        spans.take(event("apply_start", "aws_subnet.a", type_=None))
        spans.take(event("apply_start", "aws_db_instance.main", type_="aws_db_instance"))
        spans.take(event("apply_errored", "aws_subnet.a"))
        # A replacement is two pieces of work on one address.
        spans.take(event("apply_start", "aws_vpc.main", "delete"))
        spans.take(event("apply_complete", "aws_vpc.main", "delete"))
        spans.close()
        spans.close()
    step = traces.one("step apply")
    found = {span.name: span for span in traces.below(step)}
    assert len(found) == len(traces.spans) - 1 == 4
    assert found["terraform create aws_vpc"].attributes == {
        "terraform.address": "aws_vpc.main",
        "terraform.type": "aws_vpc",
        "terraform.action": "create",
    }
    errors = {name: span.attributes["error.type"] for name, span in found.items() if span.is_error}
    assert errors == {
        "terraform create resource": "apply_errored",
        "terraform create aws_db_instance": "unfinished",
    }
    assert SECRET not in str(traces.spans)


def test_words_that_make_no_sense_make_no_spans() -> None:
    spans = ResourceSpans()
    with traced() as traces:
        spans.take(event("apply_complete", "aws_vpc.main"))
        spans.take(event("apply_start", None))
        spans.take(event("planned_change", "aws_vpc.main"))
        spans.take(TerraformEvent("apply_start", "info", "", "", "a.b", None, {"hook": 3}))
        spans.close()
    assert [span.name for span in traces.spans] == ["terraform change resource"]
