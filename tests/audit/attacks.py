"""A chain to attack, and an attacker who owns the server: triggers do not stop him."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session

from beta9_provisioning.audit import chain, signatures, verify
from beta9_provisioning.audit.record import Author, write
from beta9_provisioning.audit.signatures import Head, fingerprint
from beta9_provisioning.audit.verify import Report
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import AuditRecordRow

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = {fingerprint(KEY.public_key()): KEY.public_key()}
NOW = timedelta(0)


def fill(sessions: Sessions, count: int, organization_id: str = "default") -> None:
    """Write records that have a value in every column."""
    for number in range(1, count + 1):
        author = Author("mem_1", "Anna", "key_1", "192.0.2.1", f"req-{number}")
        with transaction(sessions) as session:
            write(
                session,
                author,
                "environment.update",
                organization_id=organization_id,
                object_type="environment",
                object_id=f"env_{number}",
                before={"number": number - 1},
                after={"number": number},
                refused="forbidden" if number % 2 else None,
            )


def sign(sessions: Sessions, key: Ed25519PrivateKey = KEY) -> list[Head]:
    """Sign the heads that moved."""
    return signatures.sign_moved(sessions, key, every=NOW).signed


@contextmanager
def owner(engine: Engine) -> Iterator[Session]:
    """A session of one who turned all triggers off, and commits."""
    with Session(engine) as session, session.begin():
        session.execute(text("SET LOCAL session_replication_role = replica"))
        yield session


def rechain(session: Session, organization_id: str = "default") -> None:
    """Give every record the hash that it must have, as one who knows the form can."""
    previous = None
    columns = AuditRecordRow.__table__.c
    query = AuditRecordRow.__table__.select().where(columns.organization_id == organization_id)
    for row in session.execute(query.order_by(columns.number)).all():
        previous = chain.digest(row, row.number, previous)
        place = columns.organization_id == organization_id, columns.number == row.number
        session.execute(update(AuditRecordRow).where(*place).values(hash=previous))


def shift(session: Session, after: int, by: int) -> None:
    """Renumber what follows a number."""
    far = 1000
    for step in (far, by - far):
        session.execute(
            text("UPDATE audit_records SET number = number + :step WHERE number > :after"),
            {"step": step, "after": after if step == far else far},
        )


def reports(
    engine: Engine, *, keys: Any = KEYS, kept: Any = None, organization: str | None = None
) -> list[Report]:
    """Verify as the command does."""
    with Session(engine.execution_options(isolation_level="REPEATABLE READ")) as session:
        return list(verify.verify(session, organization=organization, keys=keys, kept=kept or {}))


def found(engine: Engine, **how: Any) -> list[tuple[str, int, int]]:
    """Return what verification finds in the one chain there is: kind, first and last number."""
    (report,) = reports(engine, **how)
    return [(one.kind, one.first, one.last) for one in report.findings]
