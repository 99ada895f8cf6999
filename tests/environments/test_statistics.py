from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text
from tests.support.configs import config
from tests.support.lives import claim, create, delete, walk

from beta9_provisioning.api import figures
from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands, statistics
from beta9_provisioning.environments.statistics import BUCKETS, Ends, Statistics
from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.lifecycle import EnvironmentStatus, OperationStatus, Reason
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.migrate import alembic_config, init_db
from beta9_provisioning.operations.records.model import OperationRow
from beta9_provisioning.settings import Settings

S = OperationStatus


def read(sessions: Sessions) -> Statistics:
    with transaction(sessions) as session:
        return statistics.read(session)


def ends(sessions: Sessions) -> Ends:
    found = read(sessions).ends
    assert found is not None
    return found


@contextmanager
def migrations(engine: Engine) -> Iterator[Config]:
    """Give Alembic's configuration for a database."""
    with engine.connect() as connection:
        result = alembic_config()
        result.attributes["connection"] = connection
        result.attributes["online_seconds"] = 30.0
        yield result


def test_nothing_happened_yet(sessions: Sessions) -> None:
    found = read(sessions)
    assert found.entered == dict.fromkeys(EnvironmentStatus, 0)
    assert (found.oldest, found.durations) == ({}, {})
    assert set(found.work.phases.values()) == {0}
    ended = ends(sessions)
    assert ended.present == found.entered
    assert set(ended.operations.values()) == set(ended.attempts.values()) == {0}
    assert (ended.ready.count, ended.ready.total) == (0, 0)
    assert found.work.longest_wait == 0


def test_counts_what_was_entered_ever(sessions: Sessions, settings: Settings) -> None:
    first = create(sessions, settings, name="first")
    create(sessions, settings, name="second")
    walk(sessions, first.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    delete(sessions, first.environment_id)
    entered = read(sessions).entered
    assert {status: count for status, count in entered.items() if count} == {
        "queued": 2,
        "provisioning": 1,
        "bootstrapping": 1,
        "ready": 1,
        "destroy_queued": 1,
    }
    assert {status: count for status, count in ends(sessions).present.items() if count} == {
        "queued": 1,
        "destroy_queued": 1,
    }


def test_oldest_is_the_start_of_the_current_operation(sessions: Sessions, settings: Settings) -> None:
    old = create(sessions, settings, name="old")
    young = create(sessions, settings, name="young")
    done = create(sessions, settings, name="done")
    walk(sessions, done.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    assert read(sessions).oldest == {"queued": old.operation.created_at}
    walk(sessions, old.operation.id, S.PLANNING)
    found = read(sessions).oldest
    assert set(found) == {"queued", "provisioning"}
    assert found["queued"] == young.operation.created_at
    # Having waited long is not being stuck: the clock starts with the work.
    assert found["provisioning"] > young.operation.created_at


def test_work_is_what_workers_could_take_and_what_they_are_at(sessions: Sessions, settings: Settings) -> None:
    create(sessions, settings, name="waits")
    runs = create(sessions, settings, name="runs")
    done = create(sessions, settings, name="done")
    walk(sessions, done.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    walk(sessions, runs.operation.id, S.PLANNING)
    found = read(sessions).work
    assert (found.waiting, found.running) == (1, 1)
    # Its destroy waits for the operation that runs, and not for a worker.
    delete(sessions, runs.environment_id)
    found = read(sessions).work
    assert (found.waiting, found.running) == (1, 1)
    assert {phase: count for phase, count in found.phases.items() if count} == {
        ("provision", "queued"): 1,
        ("provision", "planning"): 1,
        ("destroy", "queued"): 1,
    }


def test_the_longest_wait_is_that_of_an_operation_that_a_worker_could_take(
    sessions: Sessions, settings: Settings
) -> None:
    runs = create(sessions, settings, name="runs")
    walk(sessions, runs.operation.id, S.PLANNING)
    delete(sessions, runs.environment_id)
    _requested(sessions, runs.environment_id, "2 hours")
    assert read(sessions).work.longest_wait == 0
    _requested(sessions, create(sessions, settings, name="waits").environment_id, "1 hour")
    create(sessions, settings, name="waits-since-now")
    assert 3600 <= read(sessions).work.longest_wait < 7200


def _requested(sessions: Sessions, environment_id: str, ago: str) -> None:
    with transaction(sessions) as session:
        session.execute(
            text(
                "UPDATE operations SET created_at = created_at - CAST(:ago AS interval) "
                "WHERE environment_id = :id"
            ),
            {"ago": ago, "id": environment_id},
        )


def test_ends_and_attempts_are_counted_with_their_reasons(sessions: Sessions, settings: Settings) -> None:
    good, bad, cancelled = (create(sessions, settings, name=name) for name in ("good", "bad", "cancelled"))
    walk(sessions, good.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    claimed = claim(sessions, bad.operation.id)
    with transaction(sessions) as session:
        store.fail(session, claimed, store.Failure(Reason.TERRAFORM_FAILED, "failed", "It failed."))
        store.request_cancel(session, session.get_one(OperationRow, cancelled.operation.id))
    found = ends(sessions)
    assert {end: count for end, count in found.operations.items() if count} == {
        ("provision", "succeeded", ""): 1,
        ("provision", "failed", "terraform_failed"): 1,
        ("provision", "cancelled", "cancelled"): 1,
    }
    # The one that was cancelled in the queue had none.
    assert {outcome: count for outcome, count in found.attempts.items() if count} == {
        "succeeded": 1,
        "terraform_failed": 1,
    }


def test_durations_are_those_of_finished_work(sessions: Sessions, settings: Settings) -> None:
    environment = create(sessions, settings)
    walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    never_started = create(sessions, settings, name="other")
    delete(sessions, never_started.environment_id)
    with transaction(sessions) as session:
        row = session.get_one(OperationRow, environment.operation.id)
        assert row.started_at is not None
        assert row.finished_at is not None
        seconds = (row.finished_at - row.started_at).total_seconds()
    ((pair, found),) = read(sessions).durations.items()
    assert (pair, found.count) == (("provision", "succeeded"), 1)
    assert found.total == pytest.approx(seconds)
    assert found.buckets == [(bound, int(bound >= seconds)) for bound in BUCKETS]


def test_the_time_to_ready_has_the_wait_for_a_worker(sessions: Sessions, settings: Settings) -> None:
    waited = create(sessions, settings)
    _requested(sessions, waited.environment_id, "1 hour")
    walk(sessions, waited.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    failed = create(sessions, settings, name="failed")
    claimed = claim(sessions, failed.operation.id)
    with transaction(sessions) as session:
        store.fail(session, claimed, store.Failure(Reason.TERRAFORM_FAILED, "failed", "It failed."))
    ready = ends(sessions).ready
    assert ready.count == 1
    assert 3600 <= ready.total < 7200
    assert read(sessions).durations["provision", "succeeded"].total < 3600


def test_what_an_older_schema_does_not_count_is_absent(empty_database_url: str, settings: Settings) -> None:
    """During a rolling update it was 0, and then rose to all history at once."""
    init_db(empty_database_url)
    engine = connect(empty_database_url)
    with migrations(engine) as known:
        command.downgrade(known, "0006")
    found = read(session_factory(engine))
    assert found.ends is None
    assert "provisioning_attempts" not in [family.name for family in figures.of_database(found)]
    engine.dispose()


@pytest.mark.parametrize(("seconds", "least"), [(0, 5), (5, 5), (5.001, 15), (14400, 14400), (14401, None)])
def test_a_duration_is_counted_below_the_bounds_that_it_does_not_exceed(
    sessions: Sessions, settings: Settings, seconds: float, least: int | None
) -> None:
    environment = create(sessions, settings)
    walk(sessions, environment.operation.id, S.PLANNING)
    with transaction(sessions) as session:
        row = session.get_one(OperationRow, environment.operation.id)
        assert row.started_at is not None
        row.status, row.finished_at = S.FAILED, row.started_at + timedelta(seconds=seconds)
    (found,) = read(sessions).durations.values()
    assert found.buckets == [(bound, int(least is not None and bound >= least)) for bound in BUCKETS]
    assert found.count == 1


def test_a_history_from_before_the_counts_is_counted(empty_database_url: str, settings: Settings) -> None:
    """An upgraded database shows what the one before showed."""
    init_db(empty_database_url)
    engine = connect(empty_database_url)
    factory = session_factory(engine)
    for number in range(3):
        made = create(factory, settings, name=f"n{number}")
        walk(factory, made.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    claimed = claim(factory, create(factory, settings, name="failed").operation.id)
    with transaction(factory) as session:
        store.fail(session, claimed, store.Failure(Reason.WORKER_LOST, "worker_lost", "It was lost."))
    with transaction(factory) as session:
        counted = statistics.read(session)
    with migrations(engine) as known:
        command.downgrade(known, "0004")
        command.upgrade(known, "head")
    with transaction(factory) as session:
        assert statistics.read(session) == counted
    assert counted.ends is not None
    assert counted.entered["ready"] == counted.ends.present["ready"] == counted.ends.ready.count == 3
    lost = counted.ends.operations["provision", "failed", "worker_lost"]
    assert counted.ends.attempts["worker_lost"] == lost == 1
    engine.dispose()


def test_a_transaction_that_stands_still_holds_up_no_other(sessions: Sessions, settings: Settings) -> None:
    """A frozen worker made creates of everybody fail, because they counted in the same row."""
    create(sessions, settings, name="first")
    with sessions() as frozen:
        frozen.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        frozen.execute(text("SELECT 1 FROM statistics FOR UPDATE"))
        with transaction(sessions) as session:
            session.execute(text("SET LOCAL lock_timeout = '1ms'"))
            made = commands.create(
                session, config(name="second"), owner="default", by=Author("default"), settings=settings
            )
        assert isinstance(made, commands.Outcome)
        create(sessions, settings, name="third")
    assert read(sessions).entered["queued"] == 3
