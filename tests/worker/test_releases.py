"""Workers beside other releases: newer configurations, newer schemas."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from tests.operations.rows import add_destroy, make_environment, operation, status, take
from tests.support.simulated import ROOT
from tests.support.waiting import until
from tests.worker.rig import Work, consuming, experienced, hints, make_worker, wait_long_ago

from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.lifecycle import Reason
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.operations.records import fairness, store
from beta9_provisioning.operations.records.migrate import init_db
from beta9_provisioning.operations.records.model import EnvironmentRow, OperationRow
from beta9_provisioning.operations.records.versions import OURS, NewerThanWorker, Versions
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.reconciler import Reconciler

NEWER = Versions(OURS.config + 1, OURS.state + 1)
INCOMPATIBLE = (
    "UPDATE alembic_version SET version_num = 'later';"
    "UPDATE schema_compatibility SET oldest_program = 'later'"
)


def configured_by_a_newer_release(sessions: Sessions) -> tuple[str, str]:
    """Return the ids of an environment and its operation."""
    made = make_environment(sessions)
    with transaction(sessions) as session:
        session.get_one(EnvironmentRow, made.environment_id).config_version = NEWER.config
        session.get_one(OperationRow, made.operation_id).config_version = NEWER.config
    return made.environment_id, made.operation_id


def test_an_operation_of_a_newer_release_waits_for_a_newer_worker(
    engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, redis_url: str
) -> None:
    _, newer = configured_by_a_newer_release(sessions)
    ours = make_environment(sessions)
    worker = make_worker(engine, sessions, queue, settings, Work())
    with consuming(redis_url, worker, threads=1):
        queue.send(ACTOR, newer)
        queue.send(ACTOR, ours.operation_id)
        until(lambda: status(sessions, ours.environment_id) == "ready", "our own is done")
    row = operation(sessions, newer)
    assert (row.status, row.attempts) == ("queued", 0)
    with transaction(sessions) as session:
        claimed = store.claim(session, newer, worker="w", liveness_key=1, lease_seconds=30, versions=NEWER)
    assert claimed is not None


def test_an_old_worker_sends_no_hints_for_what_it_cannot_take(
    sessions: Sessions, queue: Queue, redis_url: str
) -> None:
    _, newer = configured_by_a_newer_release(sessions)
    wait_long_ago(sessions, newer)
    Reconciler(experienced(sessions), sessions, queue, ACTOR, interval=1).round()
    assert hints(redis_url) == []
    with sessions() as session:
        assert fairness.claimable(session) == []
        assert fairness.claimable(session, older_than=5, versions=NEWER) == [newer]


def test_the_destroy_of_a_newer_environment_waits_as_well(sessions: Sessions) -> None:
    environment_id, _ = configured_by_a_newer_release(sessions)
    destroy = add_destroy(sessions, environment_id)
    with pytest.raises(NewerThanWorker):
        take(sessions, destroy)


def test_a_state_that_a_newer_worker_may_have_written_is_left_to_it(sessions: Sessions) -> None:
    made = make_environment(sessions)
    newer = Versions(OURS.config, OURS.state + 1)
    with transaction(sessions) as session:
        claimed = store.claim(
            session, made.operation_id, worker="w", liveness_key=1, lease_seconds=30, versions=newer
        )
    assert claimed is not None
    with transaction(sessions) as session:
        store.fail(session, claimed, store.Failure(Reason.TERRAFORM_FAILED, "terraform_failed", "It failed."))
    destroy = add_destroy(sessions, made.environment_id)
    with pytest.raises(NewerThanWorker, match="Terraform state is of version"):
        take(sessions, destroy)
    with sessions() as session:
        assert fairness.claimable(session) == []
        assert fairness.claimable(session, versions=newer) == [destroy]


def test_a_running_worker_takes_nothing_from_a_schema_that_has_become_too_new(
    empty_database_url: str, queue: Queue, settings: Settings
) -> None:
    init_db(empty_database_url)
    engine = connect(empty_database_url)
    factory = session_factory(engine)
    made = make_environment(factory)
    worker = make_worker(engine, factory, queue, settings, Work())
    with engine.begin() as connection:
        connection.execute(text(INCOMPATIBLE))
    worker.run(made.operation_id)
    assert operation(factory, made.operation_id).status == "queued"
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_compatibility SET oldest_program = '0001'"))
    worker.run(made.operation_id)
    assert operation(factory, made.operation_id).status == "succeeded"
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "words"),
    [(INCOMPATIBLE, "newer release"), ("UPDATE alembic_version SET version_num = '0001'", "db init")],
)
def test_a_worker_that_does_not_fit_the_schema_does_not_start(
    empty_database_url: str, redis_url: str, tmp_path: Path, statement: str, words: str
) -> None:
    init_db(empty_database_url)
    engine = connect(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": empty_database_url,
        "REDIS_URL": redis_url,
        "WORKDIR_BASE": str(tmp_path),
        "CHART_SOURCE": str(tmp_path),
        "WORKER_METRICS_PORT": "0",
        "TERRAFORM_BINARY": str(find_terraform()),
        "HELM_BINARY": str(ensure_tools(ROOT).helm),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "beta9_provisioning.worker"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    [told] = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert told.startswith("error: The database's schema is at revision")
    assert words in told
