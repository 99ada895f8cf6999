from datetime import timedelta

import pytest
from tests.support.lives import create, delete, walk

from beta9_provisioning.environments import statistics
from beta9_provisioning.environments.statistics import BUCKETS, Statistics
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import EnvironmentStatus, OperationStatus
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


def test_durations_are_those_of_finished_work(sessions: Sessions, settings: Settings) -> None:
    environment = create(sessions, settings)
    walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
    never_started = create(sessions, settings, name="other")
    delete(sessions, never_started.environment_id)
    with transaction(sessions) as session:
        row = session.get_one(OperationRow, environment.operation.id)
        assert row.started_at is not None
        row.finished_at = row.started_at + timedelta(seconds=100)
    (found,) = read(sessions).durations
    assert (found.kind, found.outcome, found.count) == ("provision", "succeeded", 1)
    assert found.total == pytest.approx(100)
    assert found.buckets == [(bound, int(bound >= 100)) for bound in BUCKETS]
