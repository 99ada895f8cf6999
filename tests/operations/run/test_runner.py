"""The runner with workflows of the test's own: order, failure, stop, lost lease, database away."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.operations.rows import CONFIG, events, make_environment, operation, status, take
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.errors import EngineError, Interrupted, Stopped
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import PATHS, Kind, OperationStatus, Reason
from beta9_provisioning.operations.records.model import AttemptRow, EnvironmentRow, OperationRow
from beta9_provisioning.operations.records.resuming import MOST_LOST_ATTEMPTS
from beta9_provisioning.operations.records.store import Claim, request_cancel
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Runner, Step, Unfinished
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.operations.workflows import DESTROY, DESTROY_NOTHING, PROVISION, workflow_of
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.metrics import Metrics

S = OperationStatus
STATUSES = (S.PLANNING, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING)


class Fixture:
    """A claimed provision, and a runner whose four steps call the test's functions."""

    def __init__(self, sessions: Sessions, tmp_path: Path) -> None:
        self.sessions = sessions
        self.made = make_environment(sessions)
        self.claim: Claim = take(sessions, self.made.operation_id)
        self.stop = Stop()
        self.ran: list[str] = []
        self.settings = Settings(workdir_base=tmp_path)
        self.metrics = Metrics()

    def run(self, **work: Callable[[Context], None]) -> OperationStatus | Unfinished:
        """Run steps one to four; a step named in `work` does that, the others nothing."""

        def step(name: str) -> Callable[[Context], None]:
            def body(context: Context) -> None:
                self.ran.append(name)
                if name in work:
                    work[name](context)

            return body

        steps = tuple(
            Step(name, f"Step {name}", status, Reason.TERRAFORM_FAILED, step(name))
            for name, status in zip(("one", "two", "three", "four"), STATUSES, strict=True)
        )
        return Runner(
            self.sessions, self.settings, new_synthesizer(), lambda _: steps, self.metrics.observe_step
        ).run(self.claim, self.stop)

    def steps_counted(self, outcome: str) -> list[float]:
        return [
            sample.value
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "provisioning_worker_step_seconds_count" and sample.labels["outcome"] == outcome
        ]

    def again(self) -> None:
        """Claim the operation for the next attempt."""
        self.claim, self.stop = take(self.sessions, self.made.operation_id), Stop()

    def journal(self) -> list[tuple[int, str, dict[str, Any]]]:
        return events(self.sessions, self.made.environment_id)

    def types(self) -> list[str]:
        return [type_ for _, type_, _ in self.journal()]


@pytest.fixture
def fixture(sessions: Sessions, tmp_path: Path) -> Fixture:
    return Fixture(sessions, tmp_path)


def test_steps_run_in_order_and_each_is_told(fixture: Fixture) -> None:
    assert fixture.run() is S.SUCCEEDED
    assert fixture.ran == ["one", "two", "three", "four"]
    told = [
        data["step"]
        for _, type_, data in events(fixture.sessions, fixture.made.environment_id)
        if type_ == "step.finished"
    ]
    assert told == fixture.ran
    assert status(fixture.sessions, fixture.made.environment_id) == "ready"


def test_what_the_journal_does_not_know_was_not_started(fixture: Fixture) -> None:
    """A worker that is killed in a step has told of it before: by that it is known what was touched."""
    known: list[int] = []

    def look(_: Context) -> None:
        known.append(fixture.types().count("step.started"))

    fixture.run(one=look, two=look, three=look, four=look)
    assert known == [1, 2, 3, 4]


def test_outputs_are_published_with_the_end(fixture: Fixture) -> None:
    def publish(context: Context) -> None:
        context.public_outputs = {"gateway_url": "https://x"}

    fixture.run(four=publish)
    with transaction(fixture.sessions) as session:
        assert session.get_one(EnvironmentRow, fixture.made.environment_id).outputs == {
            "gateway_url": "https://x"
        }


@pytest.mark.parametrize("name", ["one", "two", "three", "four"])
def test_each_step_can_fail_and_nothing_runs_after_it(fixture: Fixture, name: str) -> None:
    def fail(_: Context) -> None:
        raise EngineError("It broke.", detail="because", remedy="mend it", code="it_broke")

    assert fixture.run(**{name: fail}) is S.FAILED
    assert fixture.ran[-1] == name
    row = operation(fixture.sessions, fixture.made.operation_id)
    assert row.error == {"code": "it_broke", "message": "It broke.", "detail": "because", "remedy": "mend it"}
    assert row.reason == Reason.TERRAFORM_FAILED
    assert fixture.types()[-3:] == ["step.failed", "operation.finished", "environment.status"]
    for outcome, count in (("succeeded", len(fixture.ran) - 1), ("failed", 1)):
        assert sum(fixture.steps_counted(outcome)) == count


def test_a_timeout_is_a_reason_of_its_own(fixture: Fixture) -> None:
    def late(_: Context) -> None:
        raise EngineError("Too late.", code="timeout")

    fixture.run(two=late)
    assert operation(fixture.sessions, fixture.made.operation_id).reason == Reason.TIMEOUT


def test_a_crash_is_an_internal_error_that_tells_no_internals(fixture: Fixture) -> None:
    def crash(_: Context) -> None:
        raise KeyError("postgresql://user:secret@host")

    assert fixture.run(two=crash) is S.FAILED
    row = operation(fixture.sessions, fixture.made.operation_id)
    assert row.reason == Reason.INTERNAL
    assert "secret" not in str(row.error)


def test_a_cancel_ends_as_cancelled(fixture: Fixture) -> None:
    def work(context: Context) -> None:
        fixture.stop.request(StopReason.CANCELLED)
        assert context.stop.event.is_set()
        raise Stopped("terraform apply was stopped.", detail="tainted: x")

    assert fixture.run(three=work) is S.CANCELLED
    row = operation(fixture.sessions, fixture.made.operation_id)
    assert (row.status, row.reason) == ("cancelled", "cancelled")
    assert row.error is not None
    assert row.error["detail"] == "tainted: x"


def test_a_cancel_between_steps_starts_no_further_step(fixture: Fixture) -> None:
    assert fixture.run(one=lambda _: fixture.stop.request(StopReason.CANCELLED)) is S.CANCELLED
    assert fixture.ran == ["one"]


def test_a_worker_that_stops_hands_back(fixture: Fixture) -> None:
    def work(_: Context) -> None:
        fixture.stop.request(StopReason.WORKER_STOPPED)
        raise Stopped("terraform apply was stopped.")

    assert fixture.run(three=work) is Unfinished.HANDED_BACK
    assert operation(fixture.sessions, fixture.made.operation_id).status == "applying"
    assert fixture.types()[-2:] == ["step.interrupted", "operation.interrupted"]
    fixture.again()
    assert fixture.run() is S.SUCCEEDED
    assert fixture.ran == ["one", "two", "three", "one", "two", "three", "four"]
    changes = [data["to"] for _, type_, data in fixture.journal() if type_ == "environment.status"]
    assert changes == ["queued", "provisioning", "bootstrapping", "ready"]


def test_a_tool_that_was_killed_is_tried_again_and_tells_why_at_last(fixture: Fixture) -> None:
    def killed(_: Context) -> None:
        raise Interrupted("Terraform was killed.", code="terraform_killed", remedy="Look at the memory.")

    for _ in range(MOST_LOST_ATTEMPTS - 1):
        assert fixture.run(two=killed) is Unfinished.HANDED_BACK
        fixture.again()
    assert fixture.run(two=killed) is S.FAILED
    row = operation(fixture.sessions, fixture.made.operation_id)
    assert row.error is not None
    assert (row.error["code"], row.reason) == ("terraform_killed", Reason.TERRAFORM_FAILED)


def test_a_cancel_that_comes_with_the_shutdown_ends_the_operation(fixture: Fixture) -> None:
    def work(_: Context) -> None:
        with transaction(fixture.sessions) as session:
            row = session.get_one(OperationRow, fixture.made.operation_id)
            request_cancel(session, row)
        fixture.stop.request(StopReason.WORKER_STOPPED)
        raise Stopped("stopped")

    assert fixture.run(two=work) is S.CANCELLED


def test_a_lost_lease_stops_the_work_and_writes_nothing(fixture: Fixture) -> None:
    def lose(context: Context) -> None:
        with transaction(fixture.sessions) as session:
            session.execute(
                update(AttemptRow)
                .where(AttemptRow.lease_token == fixture.claim.lease_token)
                .values(ended_at=datetime.now(UTC))
            )
        context.recorder.emit("test", "Was told too late.")
        assert context.stop.event.wait(GUARD_SECONDS), "the recorder did not notice"
        raise Stopped("stopped")

    assert fixture.run(two=lose) is Unfinished.LEASE_LOST
    assert fixture.ran == ["one", "two"]
    assert "test" not in fixture.types()
    assert operation(fixture.sessions, fixture.made.operation_id).status == "planning"


def test_what_a_step_opened_is_closed_before_the_end_is_told(fixture: Fixture) -> None:
    order: list[str] = []

    def open_something(context: Context) -> None:
        context.resources.callback(
            lambda: order.append(operation(fixture.sessions, fixture.made.operation_id).status)
        )

    def fail(_: Context) -> None:
        raise EngineError("It broke.")

    fixture.run(two=open_something, three=fail)
    assert order == ["applying"]


GCP = {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}


@pytest.mark.parametrize(
    ("config", "named"),
    [({"name": "x"}, "beta9"), ({**CONFIG, "cloud": GCP}, "cloud.provider gcp is not supported")],
    ids=["of another version", "in a cloud of another version"],
)
def test_a_stored_configuration_that_cannot_be_run_is_a_typed_failure(
    sessions: Sessions, tmp_path: Path, config: dict[str, Any], named: str
) -> None:
    made = make_environment(sessions, config)
    claim = take(sessions, made.operation_id)
    runner = Runner(sessions, Settings(workdir_base=tmp_path), new_synthesizer(), workflow_of)
    assert runner.run(claim, Stop()) is S.FAILED
    row = operation(sessions, made.operation_id)
    assert row.reason == Reason.CONFIGURATION
    assert named in str(row.error)


def test_progress_is_kept_while_running_and_gone_at_the_end(fixture: Fixture) -> None:
    seen: list[object] = []
    written = threading.Event()

    def work(context: Context) -> None:
        context.recorder.progress("Creating", done=3, total=9)
        context.recorder.flush()
        seen.append(operation(fixture.sessions, fixture.made.operation_id).progress)
        written.set()

    fixture.run(three=work)
    assert written.is_set()
    assert seen == [{"step": "Creating", "done": 3, "total": 9}]
    assert operation(fixture.sessions, fixture.made.operation_id).progress is None


@pytest.mark.parametrize("steps", [PROVISION, DESTROY, DESTROY_NOTHING])
def test_workflows_follow_their_paths(steps: tuple[Step, ...]) -> None:
    kind = Kind.PROVISION if steps is PROVISION else Kind.DESTROY
    walked = list(dict.fromkeys(step.status for step in steps))
    assert walked == list(PATHS[kind][1:-1])
    assert len({step.name for step in steps}) == len(steps)
