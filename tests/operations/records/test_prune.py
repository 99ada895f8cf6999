"""Old details go, and nothing that decides or tells the course of a life."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from tests.operations.rows import Made, add_destroy, events, make_environment, take
from tests.support.commands import beta9
from tests.support.lives import create
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.environments import queries
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.journal import NewEvent, append
from beta9_provisioning.operations.records.model import EventRow, IdempotencyRow
from beta9_provisioning.operations.records.prune import Pruned, prune
from beta9_provisioning.operations.records.standing import journaled
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.pruner import Pruner

S = OperationStatus
NOW = timedelta(0)
CREATED = {"phase": "complete", "action": "create", "address": "aws_vpc.main", "id_value": "vpc-1"}


def build(sessions: Sessions) -> Made:
    """Return an environment that was built, and has a history of each kind."""
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    told = [
        NewEvent("step.started", "State: started.", {"step": store.FIRST_TOUCH}, made.operation_id),
        NewEvent("terraform.resource", "Created.", CREATED, made.operation_id),
        NewEvent("helm.release", "Installed.", {}, made.operation_id),
    ]
    with transaction(sessions) as session:
        append(session, made.environment_id, told)
    for before, after in ((S.PLANNING, S.APPLYING), (S.APPLYING, S.BOOTSTRAPPING)):
        with transaction(sessions) as session:
            store.advance(session, claim, before, after)
    with transaction(sessions) as session:
        store.succeed(session, claim, S.BOOTSTRAPPING, {})
    return made


def destroy(sessions: Sessions, made: Made) -> None:
    claim = take(sessions, add_destroy(sessions, made.environment_id))
    with transaction(sessions) as session:
        store.succeed(session, claim, S.DESTROYING, {})


def types(sessions: Sessions, made: Made) -> list[str]:
    return [type_ for _, type_, _ in events(sessions, made.environment_id)]


def grow_old(sessions: Sessions, days: int) -> None:
    with transaction(sessions) as session:
        session.execute(update(EventRow).values(at=func.clock_timestamp() - timedelta(days=days)))


def test_after_a_prune_a_destroy_still_knows_what_was_built(sessions: Sessions) -> None:
    made = build(sessions)
    before = types(sessions, made)
    assert prune(sessions, NOW) == Pruned(events=1, keys=0)
    assert types(sessions, made) == [one for one in before if one != "helm.release"]
    with transaction(sessions) as session:
        assert journaled(session, made.environment_id) == {"aws_vpc.main": "vpc-1"}
    assert take(sessions, add_destroy(sessions, made.environment_id)).touched_cloud


def test_of_a_destroyed_environment_the_course_of_its_life_stays(sessions: Sessions) -> None:
    made = build(sessions)
    destroy(sessions, made)
    prune(sessions, NOW)
    left = types(sessions, made)
    assert set(left) == {"operation.queued", "operation.claimed", "operation.finished", "environment.status"}
    with sessions() as session:
        news = queries.news(session, made.environment_id, after=0, limit=500)
    assert (len(news.events), news.is_over) == (len(left), True)


def test_what_is_younger_stays(sessions: Sessions) -> None:
    made = build(sessions)
    assert prune(sessions, timedelta(days=1)).events == 0
    grow_old(sessions, 2)
    assert prune(sessions, timedelta(days=1)).events == 1
    assert "helm.release" not in types(sessions, made)


def test_several_prune_at_once(sessions: Sessions) -> None:
    made = build(sessions)
    with transaction(sessions) as session:
        append(session, made.environment_id, [NewEvent("helm.release", "Installed.")] * 999)
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(prune, sessions, NOW, batch=50) for _ in range(4)]
        found = [run.result(GUARD_SECONDS).events for run in runs]
    assert sum(found) + prune(sessions, NOW).events == 1000


def test_idempotency_keys_that_count_no_more_are_deleted(sessions: Sessions, settings: Settings) -> None:
    for key in ("old", "new"):
        create(sessions, settings, name=key, key=key)
    with transaction(sessions) as session:
        session.execute(
            update(IdempotencyRow)
            .where(IdempotencyRow.key == "old")
            .values(created_at=func.clock_timestamp() - timedelta(hours=25))
        )
    assert prune(sessions, timedelta(days=1)) == Pruned(events=0, keys=1)
    with sessions() as session:
        assert session.scalars(select(IdempotencyRow.key)).all() == ["new"]


def test_a_worker_prunes_when_the_settings_say_so(sessions: Sessions) -> None:
    made = build(sessions)
    grow_old(sessions, 2)
    idle = Pruner(sessions, timedelta(0), every=0.01)
    idle.start()
    idle.stop()
    assert "helm.release" in types(sessions, made)
    pruner = Pruner(sessions, timedelta(days=1), every=0.01)
    pruner.start()
    try:
        until(lambda: "helm.release" not in types(sessions, made), "the details are deleted")
    finally:
        pruner.stop()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "EVENT_RETENTION_DAYS is 0"),
        (["--older-than", "30"], 0, "0 events and 0 idempotency keys were deleted."),
        (["--older-than", "0"], 2, "--older-than"),
    ],
)
@pytest.mark.usefixtures("clean_database")
def test_the_command_says_what_it_did(database_url: str, arguments: list[str], code: int, words: str) -> None:
    done = beta9(database_url, "db", "prune", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
