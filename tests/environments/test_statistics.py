from datetime import timedelta

import pytest
from alembic import command
from sqlalchemy import text
from tests.support.configs import config
from tests.support.lives import create, delete, walk

from beta9_provisioning.environments import commands, statistics
from beta9_provisioning.environments.statistics import BUCKETS, Statistics
from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.lifecycle import EnvironmentStatus, OperationStatus
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.migrate import init_db
from beta9_provisioning.operations.records.model import OperationRow
from beta9_provisioning.settings import Settings

S = OperationStatus


def read(sessions: Sessions) -> Statistics:
    with transaction(sessions) as session:
        return statistics.read(session)


def test_nothing_happened_yet(sessions: Sessions) -> None:
    found = read(sessions)
    assert found.entered == dict.fromkeys(EnvironmentStatus, 0)
    assert (found.oldest, found.durations) == ({}, [])


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
    found = read(sessions)
    assert (found.waiting, found.running) == (1, 1)
    # Its destroy waits for the operation that runs, and not for a worker.
    delete(sessions, runs.environment_id)
    found = read(sessions)
    assert (found.waiting, found.running) == (1, 1)


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
    (found,) = read(sessions).durations
    assert (found.kind, found.outcome, found.count) == ("provision", "succeeded", 1)
    assert found.total == pytest.approx(seconds)
    assert found.buckets == [(bound, int(bound >= seconds)) for bound in BUCKETS]


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
    (found,) = read(sessions).durations
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
    with transaction(factory) as session:
        counted = statistics.read(session)
    with engine.connect() as connection:
        config = schema.config()
        config.attributes["connection"] = connection
        config.attributes["online_seconds"] = 30.0
        command.downgrade(config, "0004")
        command.upgrade(config, "head")
    with transaction(factory) as session:
        assert statistics.read(session) == counted
    assert counted.entered["ready"] == 3
    engine.dispose()


def test_a_transaction_that_stands_still_holds_up_no_other(sessions: Sessions, settings: Settings) -> None:
    """A frozen worker made creates of everybody fail, because they counted in the same row."""
    create(sessions, settings, name="first")
    with sessions() as frozen:
        frozen.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        frozen.execute(text("SELECT 1 FROM statistics FOR UPDATE"))
        with transaction(sessions) as session:
            session.execute(text("SET LOCAL lock_timeout = '1ms'"))
            made = commands.create(session, config(name="second"), owner="default", settings=settings)
        assert isinstance(made, commands.Outcome)
        create(sessions, settings, name="third")
    assert read(sessions).entered["queued"] == 3
