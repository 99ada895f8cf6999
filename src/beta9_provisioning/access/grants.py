"""What a caller may give: never more than he has, so that no role and no key is a way up."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from beta9_provisioning.access.errors import ExceedsOwnRights, PlatformAdminsOnly
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.kit.refused import Fault
from beta9_provisioning.operations.records.model import ApiKeyRow
from beta9_provisioning.schemas.callers import Role


def check_role(by: Principal, role: Role) -> None:
    """Check that a caller may make somebody this.

    Raises:
        PlatformAdminsOnly: only platform admins make platform admins.
        ExceedsOwnRights: the role may do what the caller may not.
    """
    if role is Role.PLATFORM_ADMIN:
        check_touches(by, role)
    _check_permissions(by, PERMISSIONS[role], "role")


def check_touches(by: Principal, role: str) -> None:
    """Check that a caller may change somebody of this role, or keys of his.

    Raises:
        PlatformAdminsOnly: the other one is a platform admin, and the caller is none.
    """
    if role == Role.PLATFORM_ADMIN and by.role is not Role.PLATFORM_ADMIN:
        raise PlatformAdminsOnly


def check_key(
    session: Session, by: Principal, *, role: Role, scopes: Sequence[str] | None, life: timedelta | None
) -> None:
    """Check that a caller may hold a key that is good for this: whoever makes it knows it.

    Args:
        session: to look at the key that the caller shows.
        by: the caller.
        role: of the member whose key it will be.
        scopes: of the key.
        life: of the key, None for endless.

    Raises:
        ExceedsOwnRights: the key could do, now or after its member got another role, what the caller cannot;
            or it lives longer than the caller's own key was given; or that has been replaced.
    """
    _check_permissions(by, PERMISSIONS[role] if scopes is None else scopes, "scopes")
    mine = session.get(ApiKeyRow, by.key_id) if by.key_id else None
    if mine is None:
        return
    if mine.replaced_by is not None:
        raise ExceedsOwnRights(
            f"Your own key was replaced by {mine.replaced_by}, so it makes no keys any more. Use that one."
        )
    if scopes is None and mine.scopes is not None:
        raise ExceedsOwnRights(
            "Your own key is limited to scopes, so a key that you make must be, too.",
            Fault("scopes", "give some of your own key's scopes", tuple(sorted(by.permissions))),
        )
    own_life = mine.expires_at - mine.created_at if mine.expires_at else None
    if own_life is not None and (life is None or life > own_life):
        days = own_life // timedelta(days=1)
        raise ExceedsOwnRights(
            f"Your own key was given {days} days, and one that you make can live no longer.",
            Fault("expires_in_days", f"must be {days} or less"),
        )


def _check_permissions(by: Principal, given: Iterable[str], field: str) -> None:
    missing = sorted(set(given) - by.permissions)
    if missing:
        raise ExceedsOwnRights(
            f"You cannot give what you have not yourself: {', '.join(missing)}.",
            Fault(field, "must be within your own permissions", tuple(sorted(by.permissions))),
        )
