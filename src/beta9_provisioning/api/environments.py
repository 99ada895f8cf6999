"""Routes of `/api/v1/environments`. Each commits before it answers, and hints at the queue after that."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from beta9_provisioning.api import bodies, guards, problems, streams
from beta9_provisioning.api.auditing import AuthorDep, action
from beta9_provisioning.api.authorization import ReadsEnvironments, WritesEnvironments
from beta9_provisioning.api.dependencies import Services, ServicesDep, changing
from beta9_provisioning.api.parameters import EnvironmentId, PageParameters, Parameters
from beta9_provisioning.api.rates import address_of
from beta9_provisioning.api.trail import Trail, TrailDep
from beta9_provisioning.environments import commands, queries
from beta9_provisioning.kit.database import read, transaction
from beta9_provisioning.lifecycle import EnvironmentStatus
from beta9_provisioning.schemas.callers import Permission
from beta9_provisioning.schemas.configuration import OnDelete
from beta9_provisioning.schemas.environment import Environment, EnvironmentChanges, EnvironmentPage, EventPage

router = APIRouter(
    prefix="/api/v1/environments",
    tags=["environments"],
    dependencies=guards.KNOWN,
    responses=problems.GUARDED,
)

_LAST_EVENT = 2**63 - 1


class ListParameters(PageParameters):
    """What to list."""

    status: list[EnvironmentStatus] = Field(default_factory=list)
    """Only environments with one of these statuses; may be repeated."""
    name: Annotated[str | None, Field(pattern=r"^[a-z0-9-]{1,40}$")] = None
    """Only environments with this name."""


class EventParameters(Parameters):
    """Which stretch of the history."""

    after: Annotated[int, Field(ge=0, le=_LAST_EVENT)] = 0
    """Only events after the one with this id."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    """Events on a page; a stream has no such bound."""


class DeleteParameters(Parameters):
    """What becomes of the objects."""

    objects: OnDelete | None = None
    """Goes before data.object_store.on_delete, for this destroy alone."""


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="A repeated create with the same key and body, or configuration, gets the first answer, "
        "for 24 hours.",
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="For streams: id of the last event received; goes before `after`. Empty means none.",
        json_schema_extra={"pattern": r"^[0-9]{0,18}$"},
    ),
]


@router.post(
    "",
    status_code=202,
    dependencies=guards.CHANGES,
    response_model=Environment,
    responses=problems.responses(400, 403, 408, 409, 413, 415, 422),
    summary="Create an environment",
    openapi_extra=action("environment.create"),
)
def create(
    *,
    services: ServicesDep,
    principal: WritesEnvironments,
    author: AuthorDep,
    trail: TrailDep,
    body: Annotated[bytes, Depends(bodies.read)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queue a new environment. The body is a configuration in JSON or YAML, whatever its Content-Type."""
    try:
        config = bodies.configuration(body)
    except (bodies.BodyRefused, bodies.InvalidConfiguration):
        # What was accepted once is answered again, whatever is accepted today.
        if (
            idempotency_key is None
            or (first := _first(services, principal.organization, idempotency_key, body)) is None
        ):
            raise
        return _replayed(first)
    with changing(services, principal) as session:
        outcome = commands.create(
            session,
            config,
            owner=principal.organization,
            by=author,
            settings=services.settings,
            idempotency_key=idempotency_key,
            body=body,
            origin=trail.origin,
        )
    if isinstance(outcome, commands.Replay):
        return _replayed(outcome)
    _tell_workers(services, trail, outcome)
    return _written(outcome.environment, 202, {"Location": _location(outcome.environment.environment_id)})


@router.get(
    "",
    response_model=EnvironmentPage,
    responses=problems.responses(400, 422),
    summary="List environments",
    openapi_extra=action("environment.list"),
)
def list_environments(
    services: ServicesDep, principal: ReadsEnvironments, parameters: Annotated[ListParameters, Query()]
) -> Response:
    """List environments, newest first, destroyed ones included."""
    return _written(
        read(
            services.sessions,
            lambda session: queries.page(
                session,
                owner=principal.sees,
                limit=parameters.limit,
                cursor=parameters.cursor,
                statuses=parameters.status,
                name=parameters.name,
            ),
        )
    )


@router.get(
    "/{environment_id}",
    dependencies=guards.PLAIN,
    response_model=Environment,
    responses=problems.responses(404, 422),
    summary="Get an environment",
    openapi_extra=action("environment.read"),
)
def get(services: ServicesDep, principal: ReadsEnvironments, environment_id: EnvironmentId) -> Response:
    """Return an environment, its outputs, its latest operation and why that failed if it did."""
    found = read(
        services.sessions, lambda session: queries.get(session, environment_id, owner=principal.sees)
    )
    return _written(found)


@router.patch(
    "/{environment_id}",
    dependencies=guards.CHANGES,
    responses=problems.responses(400, 403, 404, 408, 413, 415, 422),
    summary="Change an environment",
    openapi_extra=action("environment.update"),
)
def update(
    services: ServicesDep,
    principal: WritesEnvironments,
    author: AuthorDep,
    environment_id: EnvironmentId,
    body: Annotated[bytes, Depends(bodies.read)],
) -> Environment:
    """Turn deletion protection on or off; nothing else can be changed without building anew yet."""
    changes = bodies.validated(EnvironmentChanges, body)
    with changing(services, principal) as session:
        return commands.update(session, environment_id, changes, owner=principal.sees, by=author)


@router.delete(
    "/{environment_id}",
    status_code=202,
    dependencies=guards.CHANGES_WITH_PARAMETERS,
    response_model=Environment,
    responses=problems.responses(
        403, 404, 409, 422, success={"model": Environment, "description": "It is destroyed."}
    ),
    summary="Delete an environment",
    openapi_extra=action("environment.delete"),
)
def delete(
    *,
    response: Response,
    services: ServicesDep,
    principal: WritesEnvironments,
    author: AuthorDep,
    trail: TrailDep,
    environment_id: EnvironmentId,
    parameters: Annotated[DeleteParameters, Query()],
) -> Environment:
    """Queue the environment's destroy, whatever its state; repeated calls answer with the same operation."""
    with changing(services, principal) as session:
        outcome = commands.delete(
            session,
            environment_id,
            owner=principal.sees,
            by=author,
            origin=trail.origin,
            objects=parameters.objects,
        )
    _tell_workers(services, trail, outcome)
    if outcome.environment.status is EnvironmentStatus.DESTROYED:
        response.status_code = 200
    return outcome.environment


@router.get(
    "/{environment_id}/events",
    response_model=EventPage,
    responses=problems.responses(
        400,
        404,
        422,
        429,
        success={
            "description": "A page; or with `Accept: text/event-stream` a stream of `Event` documents.",
            "content": {streams.MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
    ),
    summary="Read or follow an environment's history",
    openapi_extra=action("environment.events"),
)
def events(
    *,
    request: Request,
    services: ServicesDep,
    principal: ReadsEnvironments,
    environment_id: EnvironmentId,
    parameters: Annotated[EventParameters, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Return a page of the history; or stream it from where it is known, and go on live."""
    if streams.MEDIA_TYPE not in request.headers.get("accept", ""):
        page = read(
            services.sessions,
            lambda session: queries.events(
                session, environment_id, owner=principal.sees, after=parameters.after, limit=parameters.limit
            ),
        )
        return _written(page)
    after = _event_number(last_event_id) if last_event_id else parameters.after
    read(
        services.sessions, lambda session: queries.check_owner(session, environment_id, owner=principal.sees)
    )
    return streams.StreamResponse(
        services.streams,
        environment_id,
        after,
        address=address_of(request),
        # Where nobody is asked who he is, all would be one.
        caller=None if principal.authentication == "none" else principal.id,
        may_go_on=partial(services.authenticator.still_may, request, principal, Permission.ENVIRONMENTS_READ),
    )


@router.get(
    "/{environment_id}/kubeconfig",
    response_class=PlainTextResponse,
    dependencies=guards.PLAIN,
    responses=problems.responses(
        404, 409, 422, success={"content": {"text/yaml": {"schema": {"type": "string"}}}}
    ),
    summary="Get a kubeconfig",
    openapi_extra=action("environment.kubeconfig"),
)
def kubeconfig(
    services: ServicesDep, principal: ReadsEnvironments, author: AuthorDep, environment_id: EnvironmentId
) -> Response:
    """Return a kubeconfig without secrets: kubectl asks `beta9-provisioning token` for a token when used."""
    with transaction(services.sessions) as session:
        text = queries.kubeconfig(session, environment_id, owner=principal.sees, by=author)
    return Response(text, media_type="text/yaml")


def _tell_workers(services: Services, trail: Trail, outcome: commands.Outcome) -> None:
    if outcome.operation_id is not None:
        trail.lead_to(outcome.environment.environment_id, outcome.operation_id)
        services.hints.send(outcome.operation_id)


def _written(document: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as pydantic writes it: FastAPI would check it, copy it and write the copy."""
    return Response(document.model_dump_json(), status, headers, "application/json")


def _first(services: Services, owner: str, key: str, body: bytes) -> commands.Replay | None:
    return read(
        services.sessions,
        lambda session: commands.replay(session, owner=owner, idempotency_key=key, body=body),
    )


def _replayed(first: commands.Replay) -> Response:
    headers = {"Idempotency-Replayed": "true", "Location": _location(first.environment_id)}
    return JSONResponse(first.answer, 202, headers)


def _location(environment_id: str) -> str:
    return f"{router.prefix}/{environment_id}"


def _event_number(last_event_id: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", last_event_id):
        raise problems.InvalidHeader("Last-Event-ID", "must be the id of an event: a whole number from 0")
    return int(last_event_id)
