"""Members and their keys, written straight into the database."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, update

from beta9_provisioning.access import keys
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.ids import new_id
from beta9_provisioning.operations.records.model import ApiKeyRow, MemberRow, OrganizationRow
from beta9_provisioning.schemas.callers import MemberKind, Permission, Role


def organization(sessions: Sessions, name: str) -> str:
    """Add an organization; return its id."""
    id_ = new_id("org")
    with transaction(sessions) as session:
        session.add(OrganizationRow(id=id_, name=name, created_at=func.clock_timestamp()))
    return id_


def member(
    sessions: Sessions,
    role: Role,
    *,
    of: str = "default",
    name: str | None = None,
    subject: str | None = None,
) -> str:
    """Add a user to an organization; return its id."""
    id_ = new_id("mem")
    with transaction(sessions) as session:
        session.add(
            MemberRow(
                id=id_,
                organization_id=of,
                kind=MemberKind.USER,
                name=name or id_,
                subject=subject,
                role=role,
                created_at=func.clock_timestamp(),
            )
        )
    return id_


def key(
    sessions: Sessions,
    member_id: str,
    *,
    scopes: list[Permission] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Add a key of a member; return its text."""
    new = keys.new()
    with transaction(sessions) as session:
        session.add(
            ApiKeyRow(
                id=new.id,
                member_id=member_id,
                name="test",
                digest=new.digest,
                scopes=scopes,
                created_by=member_id,
                created_at=func.clock_timestamp(),
                expires_at=expires_at,
            )
        )
    return new.text


def caller(sessions: Sessions, role: Role, *, of: str = "default", **given: Any) -> str:
    """Add a member with a key; return the key's text."""
    return key(sessions, member(sessions, role, of=of), **given)


def change_key(sessions: Sessions, text: str, **values: Any) -> None:
    """Change the stored key with this text."""
    with transaction(sessions) as session:
        session.execute(update(ApiKeyRow).where(ApiKeyRow.id == keys.id_of(text)).values(**values))


def bearer(text: str) -> dict[str, str]:
    """Return the header that shows a key or token."""
    return {"Authorization": f"Bearer {text}"}
