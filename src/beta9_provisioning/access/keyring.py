"""API keys of members. All functions take a session and leave the commit to the caller.

One's own are everybody's to whom the permission is given; those of others, in the organizations that
the caller sees, are an administrator's (`members:write`).
"""

import re
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, or_, select, true
from sqlalchemy.orm import Session

from beta9_provisioning.access import allowance, grants, keys, members
from beta9_provisioning.access.credentials import confirm
from beta9_provisioning.access.errors import Forbidden, KeyEnded, KeyNotFound, NoOwnKeys
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.kit import cursors
from beta9_provisioning.operations.records.model import ApiKeyRow, MemberRow
from beta9_provisioning.schemas.callers import Key, KeyCreated, KeyNew, KeyPage, Permission, Role

_ID = re.compile(keys.ID_PATTERN)
ALL = "all"
"""Stands for every member."""


def create(session: Session, new: KeyNew, *, by: Principal) -> KeyCreated:
    """Add a key of the caller, or of somebody else.

    Raises:
        NoOwnKeys: it would be the caller's, who is no member.
        Forbidden: it would be somebody else's, and the caller is no administrator.
        MemberNotFound: there is no such member, or the caller does not see it.
        PlatformAdminsOnly: the member is one, and the caller is none.
        ExceedsOwnRights: the key could do what the caller cannot.
        TooManyKeys: the member has as many as it may have.
    """
    member = _owner_to_be(session, new.member_id, by)
    life = None if new.expires_in_days is None else timedelta(days=new.expires_in_days)
    # In one order and without repetitions.
    scopes = None if new.scopes is None else [str(scope) for scope in Permission if scope in new.scopes]
    grants.check_key(session, by, role=Role(member.role), scopes=scopes, life=life)
    allowance.check(session, member.id)
    return issue(session, member.id, name=new.name, scopes=scopes, life=life, by=by.id)


def issue(
    session: Session, member_id: str, *, name: str, scopes: list[str] | None, life: timedelta | None, by: str
) -> KeyCreated:
    """Add a key, whoever asks for it."""
    new = keys.new()
    now = func.statement_timestamp()
    session.add(
        ApiKeyRow(
            id=new.id,
            member_id=member_id,
            name=name,
            digest=new.digest,
            scopes=scopes,
            created_by=by,
            created_at=now,
            expires_at=None if life is None else now + life,
        )
    )
    session.flush()
    return KeyCreated(key=_wire(session.execute(_KEYS.where(ApiKeyRow.id == new.id)).one()), secret=new.text)


def page(
    session: Session, *, by: Principal, member: str | None, limit: int, cursor: str | None = None
) -> KeyPage:
    """Return one page of keys, newest first, those that count no more included; their secrets nobody has.

    Args:
        session: may be outside a transaction.
        by: the caller.
        member: id of the member whose keys are asked for; None for the caller, `ALL` for all.
        limit: most keys of a page.
        cursor: of the page before.

    Raises:
        Forbidden: somebody else's are asked for, and the caller is no administrator.
        MemberNotFound: there is no such member, or the caller does not see it.
        BadCursor: the cursor is not one of ours.
    """
    query = _KEYS.where(_is_seen(by))
    if member != ALL:
        query = query.where(ApiKeyRow.member_id == (member or by.id))
    if member is not None and member != by.id:
        _check_administers(by)
        if member != ALL:
            members.get(session, member, sees=by.sees)
    place = ApiKeyRow.created_at, ApiKeyRow.id
    rows, following = cursors.page(session, query, place, limit=limit, cursor=cursor, ids=_ID)
    return KeyPage(items=[_wire(row) for row in rows], next_cursor=following)


def get(session: Session, key_id: str, *, by: Principal) -> Key:
    """Return a key.

    Raises:
        KeyNotFound: there is none, or the caller may not know of it.
    """
    found = (
        session.execute(_KEYS.where(ApiKeyRow.id == key_id, _is_seen(by))).one_or_none()
        if _ID.fullmatch(key_id)
        else None
    )
    if found is None:
        raise KeyNotFound(key_id)
    return _wire(found)


def revoke(session: Session, key_id: str, *, by: Principal) -> tuple[Key, Key]:
    """Let a key count no more, from this moment on; once more changes nothing.

    Return it as it was, and as it is.

    Raises:
        KeyNotFound: there is none, or the caller may not know of it.
        PlatformAdminsOnly: it is of one, and the caller is none.
    """
    row, _ = _to_change(session, key_id, by)
    before = get(session, key_id, by=by)
    if row.revoked_at is None:
        row.revoked_at = func.clock_timestamp()
        session.flush()
    return before, get(session, key_id, by=by)


def rotate(session: Session, key_id: str, overlap: timedelta, *, by: Principal) -> tuple[Key, KeyCreated]:
    """Make a key in the place of another, with the same member, name, scopes and lifetime.

    The old one counts for the overlap yet, if it would not expire before. Return it as it was, and the new.

    Raises:
        KeyNotFound: there is none, or the caller may not know of it.
        PlatformAdminsOnly: it is of one, and the caller is none.
        KeyEnded: it counts no more, or has been replaced already.
        ExceedsOwnRights: the key could do what the caller cannot.
        TooManyKeys: the member has as many others as it may have.
    """
    row, member = _to_change(session, key_id, by)
    _check_counts(session, row)
    before = get(session, key_id, by=by)
    life = row.expires_at - row.created_at if row.expires_at else None
    # Whoever shows this very key gets nothing that he has not.
    if row.id != by.key_id:
        grants.check_key(session, by, role=Role(member.role), scopes=row.scopes, life=life)
    allowance.check(session, row.member_id, besides=row.id)
    made = issue(session, row.member_id, name=row.name, scopes=row.scopes, life=life, by=by.id)
    ends = made.key.created_at + overlap
    row.expires_at = min(row.expires_at or ends, ends)
    row.replaced_by = made.key.id
    session.flush()
    return before, made


_KEYS: Select[*tuple[Any, ...]] = (
    select(
        ApiKeyRow.id,
        MemberRow.organization_id,
        ApiKeyRow.member_id,
        MemberRow.name.label("member_name"),
        ApiKeyRow.name,
        ApiKeyRow.scopes,
        ApiKeyRow.created_at,
        ApiKeyRow.expires_at,
        ApiKeyRow.last_used_at,
        ApiKeyRow.revoked_at,
        ApiKeyRow.replaced_by,
    )
    .join(MemberRow, MemberRow.id == ApiKeyRow.member_id)
    .where(members.LIVE)
)


def _is_seen(by: Principal) -> ColumnElement[bool]:
    own = ApiKeyRow.member_id == by.id
    if not by.may(Permission.MEMBERS_WRITE):
        return own
    return true() if by.sees is None else or_(own, MemberRow.organization_id == by.sees)


def _owner_to_be(session: Session, member_id: str | None, by: Principal) -> MemberRow:
    """Return the member whose key is to be made, locked."""
    if member_id is None or member_id == by.id:
        if by.authentication == "none":
            raise NoOwnKeys
        member = members.lock(session, by.id, sees=None)
        # Again, now that nobody else can change it: who made the caller a platform admin has ended its keys.
        confirm(session, by)
        return member
    _check_administers(by)
    member = members.lock(session, member_id, sees=by.sees)
    grants.check_touches(by, member.role)
    return member


def _to_change(session: Session, key_id: str, by: Principal) -> tuple[ApiKeyRow, MemberRow]:
    """Return a key that the caller may change, and its member, both locked."""
    seen = get(session, key_id, by=by)
    # The member first, as all who change keys do.
    member = members.lock(session, seen.member_id, sees=None)
    grants.check_touches(by, member.role)
    confirm(session, by)
    row = session.scalar(
        select(ApiKeyRow)
        .where(ApiKeyRow.id == key_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    assert row is not None  # keys are never deleted
    return row, member


def _check_administers(by: Principal) -> None:
    if not by.may(Permission.MEMBERS_WRITE):
        raise Forbidden(Permission.MEMBERS_WRITE)


def _check_counts(session: Session, row: ApiKeyRow) -> None:
    if row.revoked_at is not None:
        raise KeyEnded(row.id, "was revoked")
    if row.replaced_by is not None:
        raise KeyEnded(row.id, f"was replaced by {row.replaced_by} already")
    if session.scalar(select(ApiKeyRow.expires_at <= func.clock_timestamp()).where(ApiKeyRow.id == row.id)):
        raise KeyEnded(row.id, "has expired")


def _wire(row: Row[*tuple[Any, ...]]) -> Key:
    return Key(
        id=row.id,
        organization_id=row.organization_id,
        member_id=row.member_id,
        member_name=row.member_name,
        name=row.name,
        # A scope of another release is none of ours.
        scopes=None if row.scopes is None else [scope for scope in Permission if scope in row.scopes],
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        replaced_by=row.replaced_by,
    )
