"""The application's role can do all its work, and nothing to the audit log: docs/audit.md, as it stands."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine
from tests.audit.attacks import KEY, KEYS, sign
from tests.audit.conftest import Server
from tests.support import callers
from tests.support.callers import bearer
from tests.support.configs import document
from tests.support.serving import serving
from tests.support.waiting import until
from tests.worker.rig import Work, consuming, make_worker

from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.audit_log import EXPORT
from beta9_provisioning.audit import verify
from beta9_provisioning.kit.database import Sessions, connect, sessions, transaction
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.local.services import embedded_postgres
from beta9_provisioning.operations.records.leases import Observer
from beta9_provisioning.operations.records.migrate import init_db
from beta9_provisioning.operations.records.model import EnvironmentRow
from beta9_provisioning.operations.records.prune import prune
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.reconciler import Reconciler

URL = "/api/v1/environments"
ATTACKS = [
    "UPDATE audit_records SET actor = 'nobody'",
    "DELETE FROM audit_records",
    "TRUNCATE audit_records",
    "UPDATE audit_signatures SET hash = ''",
    "DELETE FROM audit_signatures",
    "TRUNCATE audit_signatures CASCADE",
    "DROP TRIGGER audit_refuse ON audit_records",
    "DROP TRIGGER audit_chain ON audit_records",
    "ALTER TABLE audit_records DISABLE TRIGGER ALL",
    "ALTER TABLE audit_records DISABLE TRIGGER audit_refuse",
    "ALTER TABLE audit_signatures DISABLE TRIGGER USER",
    "ALTER TABLE audit_records ADD more text",
    "ALTER TABLE audit_records RENAME TO others",
    "DROP TABLE audit_records",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_records FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "CREATE RULE mine AS ON INSERT TO audit_records DO INSTEAD NOTHING",
    "CREATE OR REPLACE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "DROP FUNCTION audit_refuse() CASCADE",
    "SET session_replication_role = replica",
    "SET ROLE provisioning_owner",
    "CREATE TABLE public.mine (id integer)",
    "UPDATE alembic_version SET version_num = '0008'",
    "LOCK TABLE audit_records IN ACCESS EXCLUSIVE MODE",
]


@pytest.fixture(scope="module")
def server(own_server: Server) -> Server:
    """A server with roles and tables as the page makes them."""
    own_server.runs("master", own_server.master)
    own_server.runs("owner", own_server.owner)
    init_db(own_server.owner)
    own_server.runs("afterwards", own_server.owner)
    return own_server


@pytest.fixture
def application(server: Server) -> Iterator[Engine]:
    engine = connect(server.application)
    yield engine
    engine.dispose()


@pytest.fixture
def own(application: Engine) -> Sessions:
    return sessions(application)


def test_the_application_does_all_its_work(
    server: Server, application: Engine, own: Sessions, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=server.application, redis_url=redis_url, workdir_base=tmp_path)
    headers = bearer(callers.caller(own, Role.ADMIN))
    queue, work = Queue(redis_url), Work()
    worker = make_worker(application, own, queue, settings, work)
    reconciler = Reconciler(Observer(application, 30), own, queue, ACTOR, interval=0.05)
    worker.heartbeat.start()
    reconciler.start()
    try:
        with (
            serving(create_app(settings)) as api,
            api.client() as client,
            consuming(redis_url, worker, threads=1),
        ):
            assert client.get("/health/ready").status_code == 200
            id_ = client.post(URL, json=document(), headers=headers).json()["environment_id"]
            changes = {"deletion_protection": True}
            assert client.patch(f"{URL}/{id_}", json=changes, headers=headers).status_code == 200
            assert client.delete(f"{URL}/{id_}", headers=headers).status_code == 409
            until(lambda: status(own, id_) == "ready", "the worker has built it")
            assert client.get("/metrics").status_code == 200
            client.patch(f"{URL}/{id_}", json={"deletion_protection": False}, headers=headers)
            assert client.delete(f"{URL}/{id_}", headers=headers).status_code == 202
            until(lambda: status(own, id_) == "destroyed", "the worker has destroyed it")
            lines = client.get("/api/v1/audit", headers={**headers, "Accept": EXPORT}).text.splitlines()
            assert len(lines) == 5
    finally:
        reconciler.stop()
        worker.shut_down()
        worker.heartbeat.stop()
        queue.close()
    assert prune(own, timedelta(0)).events >= 0
    assert [head.number for head in sign(own, KEY)] == [6]
    with transaction(own) as session:
        (report,) = verify.verify(session, keys=KEYS, kept={})
    assert (report.records, report.signed, report.findings) == (6, 6, [])


def status(own: Sessions, environment_id: str) -> str:
    with own() as session:
        return session.get_one(EnvironmentRow, environment_id).status


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_application_can_do_nothing_to_the_log(server: Server, attack: str) -> None:
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(server.application) as connection, refused:
        connection.execute(attack.encode())


def test_an_owner_who_lets_the_triggers_be_is_refused_as_well(server: Server) -> None:
    with psycopg.connect(server.owner) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute("DELETE FROM audit_records")


def test_tables_that_the_application_owns_are_given_away() -> None:
    with embedded_postgres() as url:
        server = Server(url)
        server.runs("master", server.master)
        with psycopg.connect(server.master, autocommit=True) as connection:
            connection.execute("GRANT CREATE ON SCHEMA public TO provisioning")
        init_db(server.application)
        server.runs("existing", server.master)
        server.runs("owner", server.owner)
        init_db(server.owner)
        server.runs("afterwards", server.owner)
        with psycopg.connect(server.application) as connection:
            tables = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(tables).fetchall() == [("provisioning_owner",)]
            added = "INSERT INTO organizations (id, name, created_at) VALUES ('org_1', 'one', now())"
            assert connection.execute(added).rowcount == 1
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("ALTER TABLE audit_records DISABLE TRIGGER ALL")
