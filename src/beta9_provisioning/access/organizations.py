"""Organizations. All functions take a session and leave the commit to the caller.

`sees` is the id of the one organization that the caller sees; None is for those who see all.
"""

import re

from sqlalchemy import ColumnElement, Select, func, select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from beta9_provisioning.access import members
from beta9_provisioning.access.errors import (
    FirstOrganization,
    LastPlatformAdmin,
    OrganizationInUse,
    OrganizationNotFound,
    Taken,
)
from beta9_provisioning.access.principal import FIRST_ORGANIZATION
from beta9_provisioning.kit import cursors
from beta9_provisioning.kit.ids import new_id, pattern
from beta9_provisioning.lifecycle import EnvironmentStatus
from beta9_provisioning.operations.records.model import EnvironmentRow, MemberRow, OrganizationRow
from beta9_provisioning.schemas.callers import Organization, OrganizationNew, OrganizationPage

_PREFIX = "org"
ID_PATTERN = rf"^{FIRST_ORGANIZATION}$|{pattern(_PREFIX)}"
"""Regular expression that every id of an organization matches."""
_ID = re.compile(ID_PATTERN)
# First half of the advisory lock's key; the second is the hash of the organization's id. Older programs take
# it, too, for every create.
_LOCK = 0x62397573  # "b9us"
_LIVE = OrganizationRow.deleted_at.is_(None)


def lock(session: Session, organization_id: str) -> None:
    """Wait until nobody else creates environments in the organization or deletes it, and keep others out."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(:space, hashtext(:id))"), {"space": _LOCK, "id": organization_id}
    )


def is_live(organization_id: str) -> ColumnElement[bool]:
    """Return the condition that the organization exists."""
    return select(OrganizationRow.id).where(OrganizationRow.id == organization_id, _LIVE).exists()


def create(session: Session, new: OrganizationNew) -> Organization:
    """Add an organization.

    Raises:
        Taken: another one has this name.
    """
    made = session.scalar(
        insert(OrganizationRow)
        .values(id=new_id(_PREFIX), name=new.name, created_at=func.clock_timestamp())
        .on_conflict_do_nothing()
        .returning(OrganizationRow)
    )
    if made is None:
        raise Taken("name", new.name, by="an organization")
    return _wire(made)


def page(session: Session, *, sees: str | None, limit: int, cursor: str | None = None) -> OrganizationPage:
    """Return one page of the organizations that the caller sees, newest first; one query.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = select(OrganizationRow.id, OrganizationRow.name, OrganizationRow.created_at).where(
        _LIVE, _is_seen(sees)
    )
    place = OrganizationRow.created_at, OrganizationRow.id
    rows, following = cursors.page(session, query, place, limit=limit, cursor=cursor, ids=_ID)
    return OrganizationPage(
        items=[Organization(id=row.id, name=row.name, created_at=row.created_at) for row in rows],
        next_cursor=following,
    )


def get(session: Session, organization_id: str, *, sees: str | None) -> Organization:
    """Return an organization.

    Raises:
        OrganizationNotFound: there is none, or the caller does not see it.
    """
    return _wire(_find(session, organization_id, sees))


def delete(session: Session, organization_id: str, *, sees: str | None) -> Organization:
    """Delete an organization without live environments; its members and their keys end with it.

    Raises:
        OrganizationNotFound: there is none, or the caller does not see it.
        FirstOrganization: it is the first one.
        OrganizationInUse: it has live environments.
        LastPlatformAdmin: no platform admin would be left.
    """
    members.lock_roles(session)
    _find(session, organization_id, sees)
    if organization_id == FIRST_ORGANIZATION:
        raise FirstOrganization
    # Whoever is creating an environment there commits first and is counted, or comes later and finds no
    # organization.
    lock(session, organization_id)
    # Whoever is adding a member holds the row as well.
    row = session.scalar(
        select(OrganizationRow)
        .where(OrganizationRow.id == organization_id, _LIVE)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise OrganizationNotFound(organization_id)
    if environments := session.scalar(_live_environments(organization_id)):
        raise OrganizationInUse(row.name, environments)
    if not members.is_platform_admin_left(session, MemberRow.organization_id != organization_id):
        raise LastPlatformAdmin
    row.deleted_at = func.clock_timestamp()
    members.end(session, MemberRow.organization_id == organization_id)
    session.flush()
    return _wire(row)


def _live_environments(organization_id: str) -> Select[int]:
    return (
        select(func.count())
        .select_from(EnvironmentRow)
        .where(EnvironmentRow.owner == organization_id, EnvironmentRow.status != EnvironmentStatus.DESTROYED)
    )


def _find(session: Session, organization_id: str, sees: str | None) -> OrganizationRow:
    found = (
        session.scalar(
            select(OrganizationRow).where(OrganizationRow.id == organization_id, _LIVE, _is_seen(sees))
        )
        if _ID.fullmatch(organization_id)
        else None
    )
    if found is None:
        raise OrganizationNotFound(organization_id)
    return found


def _is_seen(sees: str | None) -> ColumnElement[bool]:
    return true() if sees is None else OrganizationRow.id == sees


def _wire(row: OrganizationRow) -> Organization:
    return Organization(id=row.id, name=row.name, created_at=row.created_at)
