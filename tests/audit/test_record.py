"""Writing records: chained by the database, in the transaction of the change, and never changed again."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from beta9_provisioning.audit.record import PLATFORM, Author, write
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.masking import MASK
from beta9_provisioning.operations.records.model import AuditRecordRow, AuditSignatureRow

ANNA = Author("mem_1", "Anna", "key_1", "192.0.2.1", "req-1")


def record(session: Session, organization_id: str = "default", **more: object) -> int:
    more = {"object_type": "environment", "object_id": "env_1"} | more
    return write(session, ANNA, "environment.create", organization_id=organization_id, **more)  # type: ignore[arg-type]


def chain(session: Session, organization_id: str = "default") -> list[AuditRecordRow]:
    query = select(AuditRecordRow).where(AuditRecordRow.organization_id == organization_id)
    return list(session.scalars(query.order_by(AuditRecordRow.number)))


def test_a_record_says_all_that_it_was_told(session: Session) -> None:
    record(session, before={"size": 1}, after={"size": 2, "a": "ü"})
    (found,) = chain(session)
    assert (found.number, found.actor, found.actor_name, found.key_id) == (1, "mem_1", "Anna", "key_1")
    assert (found.address, found.request_id) == ("192.0.2.1", "req-1")
    assert (found.action, found.object_type, found.object_id) == (
        "environment.create", "environment", "env_1",
    )  # fmt: skip
    assert (found.decision, found.reason) == ("allowed", None)
    assert (found.before, found.after) == ('{"size":1}', '{"a":"ü","size":2}')
    assert abs((found.at - datetime.now(UTC)).total_seconds()) < 3600


def test_a_refusal_says_why(session: Session) -> None:
    record(session, refused="forbidden", object_id=None)
    (found,) = chain(session)
    assert (found.decision, found.reason, found.object_id) == ("refused", "forbidden", None)


def test_chains_count_for_themselves_and_times_never_go_back(session: Session) -> None:
    assert [record(session), record(session), record(session, PLATFORM), record(session)] == [1, 2, 1, 3]
    times = [row.at for row in chain(session)]
    assert times == sorted(times)
    assert len({row.hash for row in (*chain(session), *chain(session, PLATFORM))}) == 4


def test_what_an_insert_says_of_number_time_and_hash_counts_for_nothing(session: Session) -> None:
    forged = {"number": 7, "at": datetime(2001, 1, 1, tzinfo=UTC), "hash": "0" * 64}
    who = {"organization_id": "default", "actor": "a", "actor_name": "a", "action": "a", "object_type": "a"}
    session.execute(insert(AuditRecordRow).values(decision="allowed", **forged, **who))
    (found,) = chain(session)
    assert found.number == 1
    assert found.at.year > 2001
    assert found.hash != "0" * 64


def test_secrets_are_hidden_and_what_cannot_be_stored_is_replaced(session: Session) -> None:
    after = {
        "password": "hunter2-long",
        "url": "postgresql://u:geheim123@db/x",
        "odd": "a\x00\ud800",
    }
    record(session, after=after, object_id="\x00" * 300)
    (found,) = chain(session)
    assert found.after is not None
    kept = json.loads(found.after)
    assert kept["password"] == MASK
    assert "geheim123" not in found.after
    assert kept["odd"] == "a\ufffd\ufffd"
    assert found.object_id is not None
    assert len(found.object_id.encode()) <= 256


def test_a_record_goes_with_its_change(sessions: Sessions) -> None:
    with sessions() as session:
        record(session)
        session.rollback()
    with transaction(sessions) as session:
        assert record(session) == 1


def test_writers_of_one_organization_take_turns_and_leave_no_gap(sessions: Sessions) -> None:
    def work(_: int) -> None:
        for _ in range(25):
            with transaction(sessions) as session:
                record(session)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    with sessions() as session:
        assert [row.number for row in chain(session)] == list(range(1, 201))


def test_organizations_do_not_wait_for_each_other(sessions: Sessions) -> None:
    with transaction(sessions) as first:
        record(first, "org_a")
        done = threading.Thread(target=lambda: _one(sessions, "org_b"))
        done.start()
        done.join(30)
        assert not done.is_alive()
        with sessions() as second:
            second.execute(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(OperationalError, match="lock timeout"):
                record(second, "org_a")


def _one(sessions: Sessions, organization_id: str) -> None:
    with transaction(sessions) as session:
        record(session, organization_id)


@pytest.mark.parametrize("table", ["audit_records", "audit_signatures"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET hash = 'x'",
        "UPDATE {} SET hash = hash WHERE false",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "TRUNCATE environments, {} CASCADE",
        "INSERT INTO {0} SELECT * FROM {0} ON CONFLICT (organization_id, number) DO UPDATE SET hash = 'x'",
        "MERGE INTO {0} USING {0} AS o ON {0}.number = o.number WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM {} RETURNING 1) SELECT count(*) FROM gone",
    ],
)
def test_nothing_is_changed_or_removed_by_its_owner_neither(
    sessions: Sessions, engine: Engine, table: str, statement: str
) -> None:
    signature = {"hash": "h", "signed_at": datetime.now(UTC), "key": "k", "signature": "s"}
    with transaction(sessions) as session:
        record(session)
        session.execute(insert(AuditSignatureRow).values(organization_id="default", number=1, **signature))
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="append-only") as refused:
        connection.execute(text(statement.format(table)))
    cause = refused.value.orig
    assert isinstance(cause, psycopg.errors.InsufficientPrivilege)
    assert "none may be changed or removed" in (cause.diag.message_hint or "")
    with sessions() as session:
        assert [row.number for row in chain(session)] == [1]
        assert session.scalars(select(AuditSignatureRow.hash)).all() == ["h"]


def test_a_table_of_the_same_name_does_not_confuse_the_chain(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        record(session)
    with transaction(sessions) as session:
        session.execute(text("CREATE TEMP TABLE audit_records (LIKE public.audit_records) ON COMMIT DROP"))
        session.execute(
            text(
                "INSERT INTO public.audit_records (organization_id, actor, actor_name, action, object_type,"
                " decision) VALUES ('default', 'a', 'a', 'a', 'a', 'allowed')"
            )
        )
    with sessions() as session:
        assert [row.number for row in chain(session)] == [1, 2]
