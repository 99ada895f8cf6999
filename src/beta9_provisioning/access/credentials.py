"""From what a caller shows to who that is. All functions take a session."""

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, literal, or_, select, update
from sqlalchemy.orm import Session

from beta9_provisioning.access import keys
from beta9_provisioning.access.errors import NoMember, OrganizationUnclear, Unauthenticated
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.audit.record import PLATFORM
from beta9_provisioning.operations.records.model import ApiKeyRow, MemberRow, OrganizationRow
from beta9_provisioning.schemas.callers import Permission, Role

_NOTED_SECONDS = 60
"""How exact `last_used_at` is: so a busy key is not written with every request."""


def of_key(session: Session, text: str, organization: str | None = None) -> Principal | None:
    """Return whose key this is; None when it is nobody's, or counts no more.

    Args:
        session: outside a transaction: that the key was used is noted at once.
        text: of the key.
        organization: id of the organization in which the caller wants to act, if one was named.

    Raises:
        NoMember: the caller belongs to no such organization.
    """
    id_ = keys.id_of(text)
    found = session.execute(_KEY.where(ApiKeyRow.id == id_)).one_or_none() if id_ else None
    # Also without a key, so that time does not tell whether there is one.
    if not keys.is_text_of(text, found.digest if found else None) or found is None:
        return None
    if found.is_stale:
        _note_use(session, found.id)
    return _principal(session, found, organization, key=found)


def of_subject(session: Session, subject: str, organization: str | None = None) -> Principal | None:
    """Return the member that the OIDC issuer calls so; None when there is none.

    A platform admin is one everywhere: what else an organization may have made of the subject does not count.

    Raises:
        NoMember: the caller belongs to no such organization.
        OrganizationUnclear: it belongs to several, and none was named.
    """
    of_subject = _MEMBER.where(MemberRow.subject == subject, _COUNTS)
    found = session.execute(of_subject.order_by(MemberRow.created_at, MemberRow.id)).all()
    if not found:
        return None
    counting = [row for row in found if row.role == Role.PLATFORM_ADMIN] or found
    if organization is None and len(counting) > 1:
        raise OrganizationUnclear(row.organization_id for row in counting)
    own = [row for row in counting if row.organization_id == organization]
    # Of one who is no platform admin there is then no other way into the organization.
    return _principal(session, (own or counting)[0], organization, key=None)


def confirm(session: Session, by: Principal) -> None:
    """Check, within the transaction of a change, that a caller is who he was when the request began.

    The body of a request may come minutes after its headers: meanwhile a key may have been revoked, a member
    removed or given another role.

    Raises:
        Unauthenticated: he is not; asked again, the request is judged by what he is now.
    """
    if by.authentication == "none":
        return
    if by.authentication == "key":
        query = _KEY.where(ApiKeyRow.id == by.key_id)
    else:
        query = _MEMBER.where(MemberRow.id == by.id, _COUNTS, literal(by.expires_at) > _NOW)
    found = session.execute(query).one_or_none()
    if found is None or found.role != by.role:
        raise Unauthenticated


_COUNTS = MemberRow.removed_at.is_(None) & OrganizationRow.deleted_at.is_(None)
_NOW = func.clock_timestamp()
_COLUMNS: list[Any] = [
    MemberRow.id.label("member_id"),
    MemberRow.name.label("member_name"),
    MemberRow.role,
    MemberRow.organization_id,
    OrganizationRow.name.label("organization_name"),
]
_MEMBER = select(*_COLUMNS).join(OrganizationRow, OrganizationRow.id == MemberRow.organization_id)


def key_counts() -> ColumnElement[bool]:
    """Return the condition that a key counts now, whosever it is."""
    return ApiKeyRow.revoked_at.is_(None) & or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > _NOW)


def _is_stale() -> ColumnElement[bool]:
    used = ApiKeyRow.last_used_at
    return or_(used.is_(None), used < _NOW - func.make_interval(0, 0, 0, 0, 0, 0, _NOTED_SECONDS))


_KEY: Select[Any] = (
    _MEMBER.add_columns(
        ApiKeyRow.id,
        ApiKeyRow.digest,
        ApiKeyRow.scopes,
        ApiKeyRow.expires_at,
        _is_stale().label("is_stale"),
    )
    .join(ApiKeyRow, ApiKeyRow.member_id == MemberRow.id)
    .where(key_counts() & _COUNTS)
)


def _note_use(session: Session, key_id: str) -> None:
    # Whoever comes at the same moment does not wait to write the same.
    mine = select(ApiKeyRow.id).where(ApiKeyRow.id == key_id, _is_stale()).with_for_update(skip_locked=True)
    session.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.id == mine.scalar_subquery())
        .values(last_used_at=_NOW)
        .execution_options(synchronize_session=False)
    )


def _principal(
    session: Session, member: Row[Any], organization: str | None, *, key: Row[Any] | None
) -> Principal:
    role = Role(member.role)
    acts_in = member.organization_id, member.organization_name
    sees = None if role is Role.PLATFORM_ADMIN and organization is None else organization or acts_in[0]
    may = _within(PERMISSIONS[role], key)
    if organization == PLATFORM and role is Role.PLATFORM_ADMIN:
        # It owns nothing but an audit log.
        acts_in, may = (PLATFORM, PLATFORM), may & {Permission.AUDIT_READ}
    elif organization is not None and organization != acts_in[0]:
        acts_in = organization, _name_of_other(session, role, organization)
    return Principal(
        id=member.member_id,
        name=member.member_name,
        organization=acts_in[0],
        organization_name=acts_in[1],
        role=role,
        permissions=may,
        authentication="oidc" if key is None else "key",
        sees=sees,
        key_id=key.id if key else None,
        expires_at=key.expires_at if key else None,
    )


def _within(permissions: frozenset[Permission], key: Row[Any] | None) -> frozenset[Permission]:
    # A scope of another release is none of ours.
    return permissions if key is None or key.scopes is None else permissions.intersection(key.scopes)


def _name_of_other(session: Session, role: Role, organization: str) -> str:
    """Return the name of an organization that is not the caller's own."""
    name = (
        session.scalar(
            select(OrganizationRow.name).where(
                OrganizationRow.id == organization, OrganizationRow.deleted_at.is_(None)
            )
        )
        if role is Role.PLATFORM_ADMIN
        else None
    )
    if name is None:
        raise NoMember
    return name
