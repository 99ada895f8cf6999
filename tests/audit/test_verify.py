"""Everything that an owner of the database can do to the log is found, and the first record named."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from tests.audit.attacks import KEY, fill, found, owner, rechain, reports, shift, sign

from beta9_provisioning.audit import chain, signatures
from beta9_provisioning.audit.record import PLATFORM
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.operations.records.model import AuditRecordRow, AuditSignatureRow

CHANGES = {
    "organization_id": "'org_other'",
    "number": "number + 100",
    "at": "at + interval '1 microsecond'",
    "actor": "'mem_2'",
    "actor_name": "actor_name || ' '",
    "key_id": "NULL",
    "address": "''",
    "action": "'environment.delete'",
    "object_type": "'member'",
    "object_id": "NULL",
    "decision": "'allowed', reason = NULL",
    "reason": "'not-found'",
    "request_id": "'req-50'",
    "before": "NULL",
    "after": """'{"number": 5}'""",
    "hash": "repeat('0', 64)",
}
SIGNATURE_CHANGES = [
    "organization_id = 'org_other'",
    "number = 2",
    "hash = repeat('0', 64)",
    "signed_at = signed_at + interval '1 microsecond'",
    "key = repeat('0', 64)",
    "signature = repeat('0', 128)",
    "signature = 'no hexadecimal'",
]


def test_what_was_written_holds(engine: Engine, sessions: Sessions) -> None:
    fill(sessions, 5)
    fill(sessions, 2, PLATFORM)
    assert {head.organization_id: head.number for head in sign(sessions)} == {"default": 5, PLATFORM: 2}
    fill(sessions, 1)
    told = {report.organization_id: report for report in reports(engine)}
    assert [one.findings for one in told.values()] == [[], []]
    assert (told["default"].records, told["default"].signatures, told["default"].signed) == (6, 1, 5)
    assert [one.organization_id for one in reports(engine, organization=PLATFORM)] == [PLATFORM]


def test_an_attack_is_there_for_every_column() -> None:
    assert set(CHANGES) == set(AuditRecordRow.__table__.c.keys())


@pytest.mark.parametrize("column", CHANGES)
def test_a_change_of_any_column_is_found(engine: Engine, sessions: Sessions, column: str) -> None:
    fill(sessions, 9)
    with owner(engine) as session:
        changed = session.execute(
            text(f"UPDATE audit_records SET {column} = {CHANGES[column]} WHERE number = 5")
        )
        assert changed.rowcount == 1  # type: ignore[attr-defined]
    report = next(one for one in reports(engine) if one.organization_id == "default")
    kind = "removed" if column in ("organization_id", "number") else "changed"
    assert [(one.kind, one.first) for one in report.findings] == [(kind, 5)]
    assert report.records == 4


@pytest.mark.parametrize(
    "column", ["key_id", "address", "object_id", "reason", "request_id", "before", "after"]
)
def test_nothing_and_an_empty_text_are_not_the_same(engine: Engine, sessions: Sessions, column: str) -> None:
    fill(sessions, 3)
    with owner(engine) as session:
        session.execute(text(f"UPDATE audit_records SET {column} = '' WHERE number = 1"))
        rechain(session)
    assert found(engine) == []
    with owner(engine) as session:
        also = ", decision = 'allowed'" if column == "reason" else ""
        session.execute(text(f"UPDATE audit_records SET {column} = NULL{also} WHERE number = 1"))
    assert found(engine) == [("changed", 1, 1)]


def test_what_moves_from_one_column_to_the_next_is_found(engine: Engine, sessions: Sessions) -> None:
    fill(sessions, 3)
    with owner(engine) as session:
        session.execute(
            text("UPDATE audit_records SET actor = 'mem_1A', actor_name = 'nna' WHERE number = 2")
        )
    assert found(engine) == [("changed", 2, 2)]


def remove(number: int) -> Callable[[Session], None]:
    return lambda session: _do(session, f"DELETE FROM audit_records WHERE number = {number}")


def remove_and_renumber(session: Session) -> None:
    remove(4)(session)
    shift(session, 4, -1)


def insert(session: Session) -> None:
    """Put a copy of record 4 behind it, with a hash that fits what is before it."""
    shift(session, 4, 1)
    _copy(session, 4, 5)
    row = session.get_one(AuditRecordRow, ("default", 5))
    row.hash = chain.digest(row, 5, session.get_one(AuditRecordRow, ("default", 4)).hash)


def insert_clumsily(session: Session) -> None:
    shift(session, 4, 1)
    _copy(session, 4, 5)


def insert_before_the_first(session: Session) -> None:
    _copy(session, 1, 0)


def swap(session: Session) -> None:
    _do(session, "UPDATE audit_records SET number = 100 WHERE number = 4")
    _do(session, "UPDATE audit_records SET number = 4 WHERE number = 5")
    _do(session, "UPDATE audit_records SET number = 5 WHERE number = 100")


def renumber(session: Session) -> None:
    _do(session, "UPDATE audit_records SET number = number + 1000 WHERE number >= 4")


def _do(session: Session, statement: str) -> None:
    session.execute(text(statement))


def _copy(session: Session, number: int, to: int) -> None:
    names = [name for column in AuditRecordRow.__table__.c if (name := column.name) != "number"]
    columns = ", ".join(names)
    _do(
        session,
        f"INSERT INTO audit_records (number, {columns}) SELECT {to}, {columns} FROM audit_records"
        f" WHERE number = {number}",
    )


@pytest.mark.parametrize(
    ("attack", "finding"),
    [
        (remove(1), ("removed", 1, 1)),
        (remove(5), ("removed", 5, 5)),
        (remove_and_renumber, ("changed", 4, 4)),
        (insert, ("inserted", 5, 5)),
        (insert_clumsily, ("inserted", 5, 5)),
        (insert_before_the_first, ("inserted", 0, 0)),
        (swap, ("changed", 4, 4)),
        (renumber, ("removed", 4, 4)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_first_record_is_named(
    engine: Engine, sessions: Sessions, attack: Callable[[Session], None], finding: tuple[str, int, int]
) -> None:
    fill(sessions, 9)
    with owner(engine) as session:
        attack(session)
    assert found(engine) == [finding]


class TestSigned:
    """What only signatures find."""

    def test_a_tail_that_was_cut_off(self, engine: Engine, sessions: Sessions) -> None:
        fill(sessions, 9)
        sign(sessions)
        with owner(engine) as session:
            _do(session, "DELETE FROM audit_records WHERE number > 7")
        assert found(engine) == [("cut_off", 8, 9)]

    def test_a_chain_that_was_removed_whole(self, engine: Engine, sessions: Sessions) -> None:
        fill(sessions, 3)
        sign(sessions)
        with owner(engine) as session:
            _do(session, "DELETE FROM audit_records")
        assert found(engine) == [("cut_off", 1, 3)]

    def test_a_tail_and_its_signatures_are_missed_by_one_who_kept_the_log(
        self, engine: Engine, sessions: Sessions
    ) -> None:
        fill(sessions, 5)
        kept = sign(sessions)
        fill(sessions, 4)
        kept += sign(sessions)
        with owner(engine) as session:
            _do(session, "DELETE FROM audit_records WHERE number > 5")
            _do(session, "DELETE FROM audit_signatures WHERE number > 5")
        assert found(engine) == []
        assert found(engine, kept={"default": kept}) == [("signature", 9, 9), ("cut_off", 6, 9)]

    def test_a_chain_that_was_rebuilt(self, engine: Engine, sessions: Sessions) -> None:
        fill(sessions, 3)
        sign(sessions)
        fill(sessions, 6)
        sign(sessions)
        with owner(engine) as session:
            _do(session, "UPDATE audit_records SET actor = 'mem_2' WHERE number = 5")
            rechain(session)
        assert found(engine) == [("rebuilt", 4, 9)]
        with owner(engine) as session:
            _do(session, "DELETE FROM audit_signatures WHERE number = 9")
        assert found(engine) == []  # what no signature is left for; docs/audit.md says so

    def test_an_attack_is_there_for_every_column(self) -> None:
        assert {one.split(" ")[0] for one in SIGNATURE_CHANGES} == set(AuditSignatureRow.__table__.c.keys())

    @pytest.mark.parametrize("change", SIGNATURE_CHANGES)
    def test_a_change_of_a_signature(self, engine: Engine, sessions: Sessions, change: str) -> None:
        fill(sessions, 3)
        sign(sessions)
        with owner(engine) as session:
            _do(session, f"UPDATE audit_signatures SET {change}")
        findings = [one for report in reports(engine) for one in report.findings]
        assert findings[0].kind == "signature"

    def test_a_signature_by_a_key_of_the_attackers(self, engine: Engine, sessions: Sessions) -> None:
        fill(sessions, 3)
        other = Ed25519PrivateKey.generate()
        sign(sessions, other)
        assert found(engine) == [("signature", 3, 3)]
        both = {signatures.fingerprint(one.public_key()): one.public_key() for one in (KEY, other)}
        assert found(engine, keys=both) == []

    def test_without_a_public_key_hashes_are_compared_all_the_same(
        self, engine: Engine, sessions: Sessions
    ) -> None:
        fill(sessions, 3)
        sign(sessions)
        (report,) = reports(engine, keys={})
        assert (report.findings, report.unchecked, report.signed) == ([], 1, 0)
        with owner(engine) as session:
            _do(session, "UPDATE audit_records SET actor = 'mem_2' WHERE number = 2")
            rechain(session)
        assert found(engine, keys={}) == [("rebuilt", 1, 3)]
