"""The audit log's place in the API: who asks, as records tell it, and the records of what was refused.

What is allowed is written in the transaction of its change, by the command or, with `note_change`, by the
route. What is refused is written here, for every route that names its action, in a transaction of its own;
the answer does not depend on it.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import structlog
from anyio import to_thread
from fastapi import Depends, Request
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beta9_provisioning.access import keys
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.api.authentication import authenticate, shown
from beta9_provisioning.api.rates import address_of
from beta9_provisioning.audit.record import PLATFORM, Author, write
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.database_errors import describe
from beta9_provisioning.schemas.callers import Key, Member, Organization

log = structlog.get_logger(__name__)

_ACTION = "x-audit-action"
# Decisions. What cannot be understood (400, 413, ...) or comes too often (429) is none.
_REFUSED = frozenset({401, 403, 404, 409, 422})
# What callers are refused that nobody knows, or not in the organization that they name, or name none.
_OF_STRANGERS = frozenset({"unauthenticated", "no-member", "organization-unclear"})


def action(name: str) -> dict[str, Any]:
    """Return the `openapi_extra` by which a route names its action, noun and verb: `environment.create`."""
    return {_ACTION: name}


def of_route(route: object) -> str | None:
    """Return the action that a route names."""
    extra = getattr(route, "openapi_extra", None) or {}
    found: str | None = extra.get(_ACTION)
    return found


def note_refusal(request: Request, slug: str) -> None:
    """Note why a request is refused, for its record."""
    request.state.refused = slug


def _author(request: Request, principal: Principal | None) -> Author:
    origin = request.state.trail.origin
    about = {"address": address_of(request) or None, "request_id": origin.request_id}
    if principal is None:
        # Of a key that is not valid the id tells which one it was, or was said to be.
        return Author(key_id=keys.id_of(shown(request) or ""), **about)
    return Author(principal.id, principal.name, principal.key_id, **about)


def note_change(
    session: Session,
    author: Author,
    name: str,
    thing: Organization | Member | Key,
    *,
    before: BaseModel | None = None,
    after: BaseModel | None = None,
    ended_keys: Sequence[str] = (),
) -> None:
    """Write a record of an action on one of these, as the last thing of its transaction.

    Organizations come and go by the installation, and are in its chain. Ids of keys that end by the action
    are in what was before, as `keys`.
    """
    was = None if before is None else before.model_dump(mode="json")
    if was is not None and ended_keys:
        was["keys"] = list(ended_keys)
    write(
        session,
        author,
        name,
        organization_id=PLATFORM if isinstance(thing, Organization) else thing.organization_id,
        object_type=name.partition(".")[0],
        object_id=thing.id,
        before=was,
        after=None if after is None else after.model_dump(mode="json"),
    )


async def _current_author(request: Request) -> Author:
    return _author(request, await authenticate(request))


AuthorDep = Annotated[Author, Depends(_current_author)]
"""The caller, for the command that writes a record."""


class AuditRefusals:
    """ASGI middleware: writes a record of each refusal before its answer is sent.

    Callers that nobody knows are recorded when they are turned away as such, which the limit on failures
    bounds; what else they are refused tells nothing.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                request = Request(scope)
                slug = getattr(request.state, "refused", None)
                if message["status"] in _REFUSED or slug in _OF_STRANGERS:
                    await self._record(request, slug)
            await send(message)

        await self._app(scope, receive, watch)

    async def _record(self, request: Request, slug: str | None) -> None:
        name = of_route(request.scope.get("route"))
        principal: Principal | None = getattr(request.state, "principal", None)
        if slug is None or name is None or (principal is None and slug not in _OF_STRANGERS):
            return
        record = {
            "organization_id": principal.organization if principal else PLATFORM,
            "object_type": name.partition(".")[0],
            "object_id": next(iter(request.path_params.values()), None),
            "refused": slug,
        }
        await to_thread.run_sync(self._write, _author(request, principal), name, record)

    def _write(self, author: Author, name: str, record: dict[str, Any]) -> None:
        try:
            with transaction(self._sessions) as session:
                write(session, author, name, **record)
        except SQLAlchemyError as error:
            _tell_lost(author, name, record, error)


def _tell_lost(author: Author, name: str, record: dict[str, Any], error: SQLAlchemyError) -> None:
    who = {"actor": author.id, "key_id": author.key_id, "address": author.address}
    log.error("audit_record_lost", action=name, **record, **who, error=describe(error))
