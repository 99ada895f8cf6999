"""Which permission a route needs: a dependency that each route of `/api/` has, one way or another.

docs/authentication.md shows them all; a test walks every route with every role.
"""

from typing import Annotated, Any

from fastapi import Depends, Request

from beta9_provisioning.access.errors import Forbidden
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.api.authentication import authenticate
from beta9_provisioning.schemas.callers import Permission

OPEN: dict[str, Any] = {"security": []}
"""`openapi_extra` of a route that lets everybody in."""


class Requires:
    """The dependency: whoever calls is known, and may do this. It gives the caller to the route."""

    def __init__(self, permission: Permission | None) -> None:
        """Name the permission; None lets pass every caller who is known."""
        self.permission = permission

    async def __call__(self, request: Request) -> Principal:
        """Return the caller.

        Raises:
            Unauthenticated: nobody knows who is asking.
            Forbidden: the caller may not do this.
        """
        principal = await authenticate(request)
        if self.permission is not None and not principal.may(self.permission):
            raise Forbidden(self.permission)
        return principal


Known = Annotated[Principal, Depends(Requires(None))]
ReadsEnvironments = Annotated[Principal, Depends(Requires(Permission.ENVIRONMENTS_READ))]
WritesEnvironments = Annotated[Principal, Depends(Requires(Permission.ENVIRONMENTS_WRITE))]
ReadsKeys = Annotated[Principal, Depends(Requires(Permission.KEYS_READ))]
WritesKeys = Annotated[Principal, Depends(Requires(Permission.KEYS_WRITE))]
ReadsMembers = Annotated[Principal, Depends(Requires(Permission.MEMBERS_READ))]
WritesMembers = Annotated[Principal, Depends(Requires(Permission.MEMBERS_WRITE))]
ReadsOrganizations = Annotated[Principal, Depends(Requires(Permission.ORGANIZATIONS_READ))]
WritesOrganizations = Annotated[Principal, Depends(Requires(Permission.ORGANIZATIONS_WRITE))]
ReadsAudit = Annotated[Principal, Depends(Requires(Permission.AUDIT_READ))]
