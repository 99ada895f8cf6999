"""A step asks the database while that is away or busy: a short absence ends no operation."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text
from tests.operations.rows import make_environment, operation, take
from tests.support.proxy import proxy_to

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.kit.database import Sessions, connect
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.store import lock_environment
from beta9_provisioning.operations.run import recorder
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Runner, Step, Unfinished
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.operations.steps import destruction
from beta9_provisioning.settings import Settings

S = OperationStatus
Before = Callable[[Context], None]


def run(
    factory: Sessions, settings: Settings, sessions: Sessions, operation_id: str, before: Before
) -> object:
    """Run the step that compares journal and state at the end of a destroy, after something else."""

    def first(context: Context) -> None:
        before(context)
        context.has_state = False
        destruction.destroy(context)

    steps = (
        Step("first", "First", S.PLANNING, Reason.TERRAFORM_FAILED, first),
        Step("second", "Second", S.APPLYING, Reason.TERRAFORM_FAILED, lambda _: None),
        Step("third", "Third", S.BOOTSTRAPPING, Reason.TERRAFORM_FAILED, lambda _: None),
    )
    runner = Runner(factory, settings, new_synthesizer(), lambda _: steps)
    return runner.run(take(sessions, operation_id), Stop())


def test_a_failover_at_the_end_of_a_destroy_is_waited_for(
    sessions: Sessions, settings: Settings, database_url: str
) -> None:
    made = make_environment(sessions)
    with proxy_to(database_url) as proxy:
        distant = connect(proxy.url)
        ended = run(
            session_factory(distant), settings, sessions, made.operation_id, lambda _: proxy.cut(refusing=3)
        )
        distant.dispose()
    assert ended is S.SUCCEEDED, operation(sessions, made.operation_id).error


def test_a_locked_row_at_the_end_of_a_destroy_is_waited_for(sessions: Sessions, settings: Settings) -> None:
    made = make_environment(sessions)
    with sessions() as other:

        def lock(context: Context) -> None:
            lock_environment(other, made.environment_id)
            threading.Timer(5.0, other.rollback).start()  # longer than one wait for a lock
            context.recorder.emit("test", "Happened.")

        ended = run(sessions, settings, sessions, made.operation_id, lock)
    assert ended is S.SUCCEEDED, operation(sessions, made.operation_id).error


def test_a_worker_told_to_stop_waits_for_no_row_that_stays_locked(
    sessions: Sessions, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "STOPPED_SECONDS", 1.0)
    made = make_environment(sessions)
    claim, stop = take(sessions, made.operation_id), Stop()
    with sessions() as other:

        def lock(_: Context) -> None:
            other.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            lock_environment(other, made.environment_id)
            stop.request(StopReason.WORKER_STOPPED)

        steps = (
            Step("first", "First", S.PLANNING, Reason.TERRAFORM_FAILED, lock),
            Step("second", "Second", S.APPLYING, Reason.TERRAFORM_FAILED, lambda _: None),
        )
        ended = Runner(sessions, settings, new_synthesizer(), lambda _: steps).run(claim, stop)
        assert ended is Unfinished.LEASE_LOST
    assert operation(sessions, made.operation_id).status == "planning"
