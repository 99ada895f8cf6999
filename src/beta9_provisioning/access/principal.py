"""Who is asking, and what that caller may do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.schemas.callers import Permission, Role

FIRST_ORGANIZATION = "default"
"""Id of the organization to which belongs what was created before there were organizations."""
ANYBODY = "default"
"""Id of every caller of a service that asks nobody who he is."""


@dataclass(frozen=True)
class Principal:
    """A caller.

    Attributes:
        id: of the member.
        name: of the member.
        organization: id of the organization in which the caller acts.
        organization_name: of the same.
        role: of the member.
        permissions: what the caller may do; a key may allow less than the role does.
        authentication: how the caller was known.
        sees: id of the organization whose things the caller sees; None for those of all.
        key_id: of the key that was used, if it was one.
        expires_at: when what the caller showed counts no more; None for never.
    """

    id: str
    name: str
    organization: str
    organization_name: str
    role: Role
    permissions: frozenset[Permission]
    authentication: Literal["key", "oidc", "none"]
    sees: str | None
    key_id: str | None = None
    expires_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        """Tell whether the caller may do this."""
        return permission in self.permissions


EVERYBODY = Principal(
    id=ANYBODY,
    name="anybody",
    organization=FIRST_ORGANIZATION,
    organization_name=FIRST_ORGANIZATION,
    role=Role.ADMIN,
    permissions=PERMISSIONS[Role.ADMIN],
    authentication="none",
    sees=FIRST_ORGANIZATION,
)
"""The caller of a service that asks nobody who he is (AUTH_MODE=none)."""
