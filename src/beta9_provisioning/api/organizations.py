"""Routes of `/api/v1/organizations`. Each commits before it answers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from beta9_provisioning.access import organizations
from beta9_provisioning.api import bodies, guards, problems
from beta9_provisioning.api.auditing import AuthorDep, action, note_change
from beta9_provisioning.api.authorization import ReadsOrganizations, WritesOrganizations
from beta9_provisioning.api.dependencies import ServicesDep, changing
from beta9_provisioning.api.parameters import OrganizationId, PageParameters
from beta9_provisioning.kit.database import read
from beta9_provisioning.schemas.callers import Organization, OrganizationNew, OrganizationPage

router = APIRouter(
    prefix="/api/v1/organizations",
    tags=["organizations"],
    dependencies=guards.KNOWN,
    responses=problems.GUARDED,
)


@router.post(
    "",
    status_code=201,
    dependencies=guards.CHANGES,
    responses=problems.responses(408, 409, 413, 415),
    summary="Create an organization",
    openapi_extra=action("organization.create"),
)
def create(
    response: Response,
    services: ServicesDep,
    principal: WritesOrganizations,
    author: AuthorDep,
    body: Annotated[bytes, Depends(bodies.read)],
) -> Organization:
    """Add an organization; platform admins do."""
    new = bodies.validated(OrganizationNew, body)
    with changing(services, principal) as session:
        made = organizations.create(session, new)
        note_change(session, author, "organization.create", made, after=made)
    response.headers["Location"] = f"{router.prefix}/{made.id}"
    return made


@router.get("", summary="List organizations", openapi_extra=action("organization.list"))
def list_organizations(
    services: ServicesDep, principal: ReadsOrganizations, parameters: Annotated[PageParameters, Query()]
) -> OrganizationPage:
    """List the organizations that you see, newest first: your own; a platform admin sees all."""
    return read(
        services.sessions,
        lambda session: organizations.page(
            session, sees=principal.sees, limit=parameters.limit, cursor=parameters.cursor
        ),
    )


@router.get(
    "/{organization_id}",
    dependencies=guards.PLAIN,
    responses=problems.responses(404),
    summary="Get an organization",
    openapi_extra=action("organization.read"),
)
def get(
    services: ServicesDep, principal: ReadsOrganizations, organization_id: OrganizationId
) -> Organization:
    """Return an organization."""
    return read(
        services.sessions, lambda session: organizations.get(session, organization_id, sees=principal.sees)
    )


@router.delete(
    "/{organization_id}",
    status_code=204,
    dependencies=guards.CHANGES,
    responses=problems.responses(404, 409),
    summary="Delete an organization",
    openapi_extra=action("organization.delete"),
)
def delete(
    services: ServicesDep,
    principal: WritesOrganizations,
    author: AuthorDep,
    organization_id: OrganizationId,
) -> None:
    """Delete an organization that has no live environments; its members are removed, and their keys end."""
    with changing(services, principal) as session:
        deleted = organizations.delete(session, organization_id, sees=principal.sees)
        note_change(session, author, "organization.delete", deleted, before=deleted)
