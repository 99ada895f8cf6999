"""Members of organizations. All functions take a session and leave the commit to the caller."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from beta9_provisioning.access import grants
from beta9_provisioning.access.errors import LastPlatformAdmin, MemberNotFound, NoMember, Taken
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.kit import cursors
from beta9_provisioning.kit.ids import new_id, pattern
from beta9_provisioning.operations.records.model import ApiKeyRow, MemberRow, OrganizationRow
from beta9_provisioning.schemas.callers import Member, MemberKind, MemberNew, MemberPage, Role

_PREFIX = "mem"
ID_PATTERN = pattern(_PREFIX)
"""Regular expression that every id of a member matches."""
_ID = re.compile(ID_PATTERN)
# Key of the advisory lock of whoever changes who is a platform admin.
_ROLES_LOCK = 0x62657461_726F6C65  # "betarole"
# Seed of the keys of the locks of whoever gives a subject to a member.
_SUBJECT_LOCKS = 0x62657461_7375626A  # "betasubj"
LIVE = MemberRow.removed_at.is_(None)
"""The condition that a member has not been removed, with an organization or alone."""
_COLUMNS = (
    MemberRow.id,
    MemberRow.organization_id,
    MemberRow.kind,
    MemberRow.name,
    MemberRow.subject,
    MemberRow.role,
    MemberRow.created_at,
)


def lock_roles(session: Session) -> None:
    """Wait until nobody else takes roles from members; take it before any row is locked."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ROLES_LOCK})


def add(session: Session, new: MemberNew, *, by: Principal) -> Member:
    """Add a member to the organization in which the caller acts.

    Raises:
        PlatformAdminsOnly: the caller is none, and would make one.
        ExceedsOwnRights: the role may do what the caller may not.
        NoMember: the organization was deleted at this moment.
        Taken: the organization has a member with this name, or this subject.
    """
    grants.check_role(by, new.role)
    made = insert_member(session, new, organization_id=by.organization)
    _check_subject(session, made, by)
    return made


def insert_member(session: Session, new: MemberNew, *, organization_id: str) -> Member:
    """Add a member to an organization, whoever asks for it; raises as `add` does."""
    # Until the commit nobody can delete it.
    held = select(OrganizationRow.id).where(
        OrganizationRow.id == organization_id, OrganizationRow.deleted_at.is_(None)
    )
    if session.scalar(held.with_for_update(read=True)) is None:
        raise NoMember
    made = session.execute(
        insert(MemberRow)
        .values(
            id=new_id(_PREFIX),
            organization_id=organization_id,
            created_at=func.clock_timestamp(),
            **new.model_dump(),
        )
        .on_conflict_do_nothing()
        .returning(*_COLUMNS)
    ).one_or_none()
    if made is None:
        raise _taken(session, new, organization_id)
    return _wire(made)


def _check_subject(session: Session, added: Member, by: Principal) -> None:
    """Check that a member, just added, has nobody's subject elsewhere, unless a platform admin means it so.

    Or an administrator of one organization could have callers of others taken for his member.

    Raises:
        Taken: a member of another organization has it; the words do not tell that it is another one.
    """
    if added.subject is None or by.role is Role.PLATFORM_ADMIN:
        return
    # Two who give it at once see each other: the second one waits here for the commit of the first.
    key = func.hashtextextended(added.subject, _SUBJECT_LOCKS)
    session.execute(select(func.pg_advisory_xact_lock(key)))
    elsewhere = select(MemberRow.id).where(
        MemberRow.subject == added.subject, MemberRow.organization_id != added.organization_id, LIVE
    )
    if session.scalar(elsewhere.limit(1)) is not None:
        raise Taken("subject", added.subject, by="a member")


def page(session: Session, *, sees: str | None, limit: int, cursor: str | None = None) -> MemberPage:
    """Return one page of the members that the caller sees, newest first; one query.

    Args:
        session: may be outside a transaction.
        sees: id of the organization whose members are asked for; None for those of all.
        limit: most members of a page.
        cursor: of the page before.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = select(*_COLUMNS).where(LIVE, _is_of(sees))
    place = MemberRow.created_at, MemberRow.id
    rows, following = cursors.page(session, query, place, limit=limit, cursor=cursor, ids=_ID)
    return MemberPage(items=[_wire(row) for row in rows], next_cursor=following)


def get(session: Session, member_id: str, *, sees: str | None) -> Member:
    """Return a member.

    Raises:
        MemberNotFound: there is none, or the caller does not see it.
    """
    found = (
        session.execute(select(*_COLUMNS).where(MemberRow.id == member_id, LIVE, _is_of(sees))).one_or_none()
        if _ID.fullmatch(member_id)
        else None
    )
    if found is None:
        raise MemberNotFound(member_id)
    return _wire(found)


def change_role(
    session: Session, member_id: str, role: Role, *, by: Principal
) -> tuple[Member, Member, list[str]]:
    """Give a member another role; return it as it was, and as it is, and the ids of its keys that end by it.

    Who becomes a platform admin loses the keys and the subject that there are: an administrator of one
    organization may have made the keys, and know them, and may have given somebody else's subject.

    Raises:
        MemberNotFound: there is none, or the caller does not see it.
        PlatformAdminsOnly: it is one, or would be one, and the caller is none.
        ExceedsOwnRights: the role may do what the caller may not.
        LastPlatformAdmin: no platform admin would be left.
    """
    row = _to_change(session, member_id, by)
    grants.check_role(by, role)
    before, ended = _wire(row), list[str]()
    if row.role != role:
        if row.role == Role.PLATFORM_ADMIN:
            _check_another_is_left(session, row)
        if role is Role.PLATFORM_ADMIN:
            ended = _revoke_keys(session, [row.id])
            row.subject = None
        row.role = role
        session.flush()
    return before, _wire(row), ended


def remove(session: Session, member_id: str, *, by: Principal) -> tuple[Member, list[str]]:
    """Remove a member, whose keys end; its name is free again. Return it as it was, and their ids.

    Raises:
        MemberNotFound: there is none, or the caller does not see it.
        PlatformAdminsOnly: it is one, and the caller is none.
        LastPlatformAdmin: no platform admin would be left.
    """
    row = _to_change(session, member_id, by)
    if row.role == Role.PLATFORM_ADMIN:
        _check_another_is_left(session, row)
    removed = _wire(row)
    return removed, end(session, MemberRow.id == row.id)


def lock(session: Session, member_id: str, *, sees: str | None) -> MemberRow:
    """Return a member, locked, so that nobody else changes it or its keys until the commit.

    Raises:
        MemberNotFound: there is none, or the caller does not see it.
    """
    row = (
        session.scalar(
            select(MemberRow)
            .where(MemberRow.id == member_id, LIVE, _is_of(sees))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        if _ID.fullmatch(member_id)
        else None
    )
    if row is None:
        raise MemberNotFound(member_id)
    return row


def end(session: Session, which: ColumnElement[bool]) -> list[str]:
    """Remove members, and revoke their keys; return the ids of these."""
    # The members first, as all who change keys do: nobody waits for the other.
    removed = session.scalars(
        update(MemberRow)
        .where(which, LIVE)
        .values(removed_at=func.clock_timestamp())
        .returning(MemberRow.id)
        .execution_options(synchronize_session=False)
    ).all()
    return _revoke_keys(session, removed)


def is_platform_admin_left(session: Session, among: ColumnElement[bool]) -> bool:
    """Tell whether there is a platform admin among these members."""
    admin = select(MemberRow.id).where(MemberRow.role == Role.PLATFORM_ADMIN, LIVE, among)
    return session.scalar(admin.limit(1)) is not None


def _to_change(session: Session, member_id: str, by: Principal) -> MemberRow:
    """Return a member that the caller may change, locked."""
    lock_roles(session)
    row = lock(session, member_id, sees=by.sees)
    grants.check_touches(by, row.role)
    return row


def _check_another_is_left(session: Session, row: MemberRow) -> None:
    if not is_platform_admin_left(session, MemberRow.id != row.id):
        raise LastPlatformAdmin


def _revoke_keys(session: Session, member_ids: Sequence[str]) -> list[str]:
    revoked = session.scalars(
        update(ApiKeyRow)
        .where(ApiKeyRow.member_id.in_(member_ids), ApiKeyRow.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
        .returning(ApiKeyRow.id)
        .execution_options(synchronize_session=False)
    )
    return sorted(revoked)


def _taken(session: Session, new: MemberNew, organization_id: str) -> Taken:
    named = select(MemberRow.id).where(
        MemberRow.organization_id == organization_id, MemberRow.name == new.name, LIVE
    )
    if session.scalar(named) is None and new.subject is not None:
        return Taken("subject", new.subject, by="a member")
    return Taken("name", new.name, by="a member")


def _is_of(sees: str | None) -> ColumnElement[bool]:
    return true() if sees is None else MemberRow.organization_id == sees


def _wire(row: MemberRow | Row[*tuple[Any, ...]]) -> Member:
    return Member(
        id=row.id,
        organization_id=row.organization_id,
        kind=MemberKind(row.kind),
        name=row.name,
        subject=row.subject,
        role=Role(row.role),
        created_at=row.created_at,
    )
