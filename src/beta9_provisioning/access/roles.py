"""What each role may do. docs/authentication.md shows it route by route."""

from collections.abc import Mapping

from beta9_provisioning.schemas.callers import Permission, Role

_VIEWER = frozenset(
    {
        Permission.ENVIRONMENTS_READ,
        Permission.KEYS_READ,
        Permission.KEYS_WRITE,
        Permission.MEMBERS_READ,
        Permission.ORGANIZATIONS_READ,
    }
)
_OPERATOR = _VIEWER | {Permission.ENVIRONMENTS_WRITE}
_ADMIN = _OPERATOR | {Permission.MEMBERS_WRITE, Permission.AUDIT_READ}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _ADMIN,
    Role.PLATFORM_ADMIN: _ADMIN | {Permission.ORGANIZATIONS_WRITE},
}
"""Of keys, `keys:*` are one's own; those of other members are an administrator's (`members:write`)."""
