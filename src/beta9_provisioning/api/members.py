"""Routes of `/api/v1/members`. Each commits before it answers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from beta9_provisioning.access import members
from beta9_provisioning.api import bodies, guards, problems
from beta9_provisioning.api.auditing import AuthorDep, action, note_change
from beta9_provisioning.api.authorization import ReadsMembers, WritesMembers
from beta9_provisioning.api.dependencies import ServicesDep, changing
from beta9_provisioning.api.parameters import MemberId, PageParameters
from beta9_provisioning.kit.database import read
from beta9_provisioning.schemas.callers import Member, MemberChanges, MemberNew, MemberPage

router = APIRouter(
    prefix="/api/v1/members",
    tags=["members"],
    dependencies=guards.KNOWN,
    responses=problems.GUARDED,
)


@router.post(
    "",
    status_code=201,
    dependencies=guards.CHANGES,
    responses=problems.responses(408, 409, 413, 415),
    summary="Add a member",
    openapi_extra=action("member.add"),
)
def add(
    response: Response,
    services: ServicesDep,
    principal: WritesMembers,
    author: AuthorDep,
    body: Annotated[bytes, Depends(bodies.read)],
) -> Member:
    """Add a user or a service account to your organization, with a role that can do no more than you."""
    new = bodies.validated(MemberNew, body)
    with changing(services, principal) as session:
        made = members.add(session, new, by=principal)
        note_change(session, author, "member.add", made, after=made)
    response.headers["Location"] = f"{router.prefix}/{made.id}"
    return made


@router.get("", summary="List members", openapi_extra=action("member.list"))
def list_members(
    services: ServicesDep, principal: ReadsMembers, parameters: Annotated[PageParameters, Query()]
) -> MemberPage:
    """List the members of your organization, newest first; a platform admin sees all."""
    return read(
        services.sessions,
        lambda session: members.page(
            session, sees=principal.sees, limit=parameters.limit, cursor=parameters.cursor
        ),
    )


@router.get(
    "/{member_id}",
    dependencies=guards.PLAIN,
    responses=problems.responses(404),
    summary="Get a member",
    openapi_extra=action("member.read"),
)
def get(services: ServicesDep, principal: ReadsMembers, member_id: MemberId) -> Member:
    """Return a member."""
    return read(services.sessions, lambda session: members.get(session, member_id, sees=principal.sees))


@router.patch(
    "/{member_id}",
    dependencies=guards.CHANGES,
    responses=problems.responses(404, 408, 409, 413, 415),
    summary="Change a member's role",
    openapi_extra=action("member.update"),
)
def change(
    services: ServicesDep,
    principal: WritesMembers,
    author: AuthorDep,
    member_id: MemberId,
    body: Annotated[bytes, Depends(bodies.read)],
) -> Member:
    """Give a member another role, which can do no more than you; it counts at once."""
    changes = bodies.validated(MemberChanges, body)
    with changing(services, principal) as session:
        before, after, ended = members.change_role(session, member_id, changes.role, by=principal)
        if after != before:
            note_change(session, author, "member.update", after, before=before, after=after, ended_keys=ended)
    return after


@router.delete(
    "/{member_id}",
    status_code=204,
    dependencies=guards.CHANGES,
    responses=problems.responses(404, 409),
    summary="Remove a member",
    openapi_extra=action("member.remove"),
)
def remove(services: ServicesDep, principal: WritesMembers, author: AuthorDep, member_id: MemberId) -> None:
    """Remove a member, whose keys end at once; what it created stays the organization's."""
    with changing(services, principal) as session:
        removed, ended = members.remove(session, member_id, by=principal)
        note_change(session, author, "member.remove", removed, before=removed, ended_keys=ended)
