"""Routes of `/api/v1/keys`. Each commits before it answers."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from beta9_provisioning.access import keyring
from beta9_provisioning.api import bodies, guards, problems
from beta9_provisioning.api.auditing import AuthorDep, action, note_change
from beta9_provisioning.api.authorization import ReadsKeys, WritesKeys
from beta9_provisioning.api.dependencies import ServicesDep, changing
from beta9_provisioning.api.parameters import KeyId, PageParameters
from beta9_provisioning.kit.database import read
from beta9_provisioning.schemas.callers import Key, KeyCreated, KeyNew, KeyPage, KeyRotation

router = APIRouter(
    prefix="/api/v1/keys",
    tags=["keys"],
    dependencies=guards.KNOWN,
    responses=problems.GUARDED,
)


class KeyParameters(PageParameters):
    """Whose keys to list."""

    member: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    """Id of a member, or `all`; administrators only. Your own unless it is said."""


@router.post(
    "",
    status_code=201,
    dependencies=guards.CHANGES,
    responses=problems.responses(404, 408, 409, 413, 415),
    summary="Create a key",
    openapi_extra=action("key.create"),
)
def create(
    response: Response,
    services: ServicesDep,
    principal: WritesKeys,
    author: AuthorDep,
    body: Annotated[bytes, Depends(bodies.read)],
) -> KeyCreated:
    """Create a key for yourself, or as an administrator for somebody else; only this answer has its secret.

    It can do no more than you, and live no longer than the key that you use was given.
    """
    new = bodies.validated(KeyNew, body)
    with changing(services, principal) as session:
        made = keyring.create(session, new, by=principal)
        note_change(session, author, "key.create", made.key, after=made.key)
    response.headers["Location"] = f"{router.prefix}/{made.key.id}"
    return made


@router.get("", responses=problems.responses(404), summary="List keys", openapi_extra=action("key.list"))
def list_keys(
    services: ServicesDep, principal: ReadsKeys, parameters: Annotated[KeyParameters, Query()]
) -> KeyPage:
    """List keys, newest first, those that count no more included; nobody can show their secrets."""
    return read(
        services.sessions,
        lambda session: keyring.page(
            session,
            by=principal,
            member=parameters.member,
            limit=parameters.limit,
            cursor=parameters.cursor,
        ),
    )


@router.get(
    "/{key_id}",
    dependencies=guards.PLAIN,
    responses=problems.responses(404),
    summary="Get a key",
    openapi_extra=action("key.read"),
)
def get(services: ServicesDep, principal: ReadsKeys, key_id: KeyId) -> Key:
    """Return a key, without its secret."""
    return read(services.sessions, lambda session: keyring.get(session, key_id, by=principal))


@router.delete(
    "/{key_id}",
    dependencies=guards.CHANGES,
    responses=problems.responses(404),
    summary="Revoke a key",
    openapi_extra=action("key.revoke"),
)
def revoke(services: ServicesDep, principal: WritesKeys, author: AuthorDep, key_id: KeyId) -> Key:
    """Let a key count no more, from this moment on; it stays in the list."""
    with changing(services, principal) as session:
        before, after = keyring.revoke(session, key_id, by=principal)
        if after != before:
            note_change(session, author, "key.revoke", after, before=before, after=after)
    return after


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    dependencies=guards.CHANGES,
    responses=problems.responses(404, 408, 409, 413, 415),
    summary="Replace a key",
    openapi_extra=action("key.rotate"),
)
def rotate(
    *,
    response: Response,
    services: ServicesDep,
    principal: WritesKeys,
    author: AuthorDep,
    key_id: KeyId,
    body: Annotated[bytes, Depends(bodies.read)],
) -> KeyCreated:
    """Create a key with the name, member, scopes and lifetime of another, which still counts for the overlap.

    Only this answer has the new key's secret. An empty body means the default overlap.
    """
    wanted = bodies.validated(KeyRotation, body) if body.strip() else KeyRotation()
    with changing(services, principal) as session:
        before, made = keyring.rotate(session, key_id, timedelta(hours=wanted.overlap_hours), by=principal)
        note_change(session, author, "key.rotate", before, before=before, after=made.key)
    response.headers["Location"] = f"{router.prefix}/{made.key.id}"
    return made
