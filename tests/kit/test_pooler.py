"""Through PgBouncer: session mode works, transaction mode is refused. Skipped where it is not."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from tests.operations.rows import make_environment, status
from tests.support.serving import api_process
from tests.support.waiting import GUARD_SECONDS, until
from tests.worker.rig import Work, make_worker
from tests.worker.test_main import Process

from beta9_provisioning.kit.database import DatabaseUnavailable, check, check_session, connect
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import Queue
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.operations.records.migrate import Patience, init_db
from beta9_provisioning.settings import Settings

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

Pool = Callable[[str, str], str]


@contextmanager
def pooler(url: str, mode: str) -> Iterator[str]:
    """Run PgBouncer before a database and give the URL through it."""
    assert PROGRAM
    to = psycopg.conninfo.conninfo_to_dict(url)
    port = free_port()
    home = Path(tempfile.mkdtemp(prefix="beta9-pgbouncer-"))
    home.chmod(0o755)
    where = " ".join(f"{name}={to[name]}" for name in ("host", "port", "dbname", "user", "password"))
    config = home / "pgbouncer.ini"
    config.write_text(
        f"[databases]\npooled = {where}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
    )
    command = [PROGRAM, *(["-u", "nobody"] if os.geteuid() == 0 else []), str(config)]
    with (home / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=home)
    through = f"postgresql://anybody@127.0.0.1:{port}/pooled"
    try:
        until(lambda: _answers(through), "PgBouncer answers")
        yield through
    finally:
        child.terminate()
        child.wait(30)
        shutil.rmtree(home)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def pool() -> Iterator[Pool]:
    with ExitStack() as stack:
        yield lambda url, mode: stack.enter_context(pooler(url, mode))


def test_an_environment_becomes_ready_through_a_pooler_in_session_mode(
    empty_database_url: str, pool: Pool, queue: Queue, settings: Settings
) -> None:
    url = pool(empty_database_url, "session")
    init_db(url)
    engine = connect(url)
    check_session(engine)
    with engine.connect() as connection:
        bounds = "current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"
        assert tuple(connection.execute(text(f"SELECT {bounds}")).one()) == ("3s", "15s")
    factory = session_factory(engine)
    worker = make_worker(engine, factory, queue, settings, Work(), lease_seconds=3.0)
    worker.heartbeat.start()
    try:
        made = make_environment(factory)
        worker.run(made.operation_id)
        assert status(factory, made.environment_id) == "ready"
    finally:
        worker.heartbeat.stop()
        engine.dispose()


def test_a_worker_refuses_a_pooler_in_transaction_mode(
    database_url: str, pool: Pool, settings: Settings, tmp_path: Path
) -> None:
    url = pool(database_url, "transaction")
    engine = connect(url)
    check(engine)
    with pytest.raises(DatabaseUnavailable, match="transaction mode"):
        check_session(engine)
    engine.dispose()
    process = Process(settings.model_copy(update={"database_url": url}), tmp_path)
    assert process.child.wait(GUARD_SECONDS) == 1
    lines = (tmp_path / "worker.log").read_text().splitlines()
    (told,) = [line for line in lines if not line.startswith("{")]
    assert told.startswith("error: The pooler at ")
    assert "pool_mode = session" in told


def test_db_init_refuses_a_pooler_in_transaction_mode_and_blocks_no_later_one(
    empty_database_url: str, pool: Pool
) -> None:
    url = pool(empty_database_url, "transaction")
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="transaction mode"):
            init_db(url)
    init_db(empty_database_url, patience=Patience(turn=0))


def api_log(settings: Settings, url: str, directory: Path, event: str) -> dict[str, str]:
    """Start the API and return what it logs of this event."""
    with api_process(settings.model_copy(update={"database_url": url}), free_port(), directory) as child:

        def found() -> dict[str, str]:
            assert child.poll() is None
            lines = (directory / "log").read_text().splitlines()
            documents: list[dict[str, str]] = [json.loads(line) for line in lines if line.startswith("{")]
            return next((one for one in documents if one.get("event") == event), {})

        return until(found, f"the API logs {event}")


def test_the_api_says_at_its_start_that_the_pooler_is_in_transaction_mode(
    database_url: str, pool: Pool, settings: Settings, tmp_path: Path
) -> None:
    told = api_log(settings, pool(database_url, "transaction"), tmp_path, "database_unfit")
    assert told["level"] == "error"
    assert "pool_mode = session" in told["detail"]


def test_the_api_says_in_a_sentence_that_the_pooler_refuses_options(
    database_url: str, pool: Pool, settings: Settings, tmp_path: Path
) -> None:
    url = f"{pool(database_url, 'session')}?options=-c%20lock_timeout%3D9s"
    told = api_log(settings, url, tmp_path, "database_unfit")
    assert "refuses the options in DATABASE_URL" in told["detail"]


def test_options_that_the_pooler_refuses_are_one_sentence(database_url: str, pool: Pool) -> None:
    url = pool(database_url, "session")
    engine = connect(f"{url}?options=-c%20lock_timeout%3D9s")
    with pytest.raises(DatabaseUnavailable, match="refuses the options in DATABASE_URL"):
        check(engine)
    engine.dispose()


def test_the_worker_starts_on_sessions_that_are_its_own(database_url: str) -> None:
    engine = connect(database_url)
    check_session(engine)
    engine.dispose()
