"""Every route with every role, with keys of one scope each, without a key, and with other organizations' ids.

The routes come from the application, so that none can be forgotten; what each asks for comes from there, too,
and docs/authentication.md shows it, so that no change goes unseen.
"""

import re

import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import func, select
from tests.support import callers
from tests.support.configs import document
from tests.support.organized import Caller, caller, told
from tests.support.routes import GuardedRoute, application, guarded_routes

from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.api.authorization import OPEN, Requires
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.operations.records.model import (
    ApiKeyRow,
    EnvironmentRow,
    MemberRow,
    OrganizationRow,
)
from beta9_provisioning.schemas.callers import Permission, Role

ROUTES = guarded_routes(application())
GUARDED = [route for route in ROUTES if not route.is_open]
OPEN_ROUTES = [route for route in ROUTES if route.is_open]
UNKNOWN = {
    "environment_id": "env_" + "0" * 16,
    "organization_id": "org_" + "0" * 16,
    "member_id": "mem_" + "0" * 16,
    "key_id": "key_" + "0" * 16,
}
PARAMETER = re.compile(r"\{(\w+)\}")
# Complete bodies, so that a request is refused for the caller's sake only.
BODIES = {
    "/api/v1/environments": document(),
    "/api/v1/environments/{environment_id}": {"deletion_protection": True},
    "/api/v1/members/{member_id}": {"role": "viewer"},
}


def path_of(route: GuardedRoute, ids: dict[str, str]) -> str:
    return PARAMETER.sub(lambda found: ids[found[1]], route.path)


def ask(client: httpx.Client, route: GuardedRoute, ids: dict[str, str], text: str | None) -> httpx.Response:
    body = BODIES.get(route.path) if route.method in ("POST", "PATCH") else None
    headers = callers.bearer(text) if text else {}
    return client.request(route.method, path_of(route, ids), headers=headers, json=body)


def walk(client: httpx.Client, text: str, permissions: frozenset[Permission]) -> int:
    """Ask for every guarded route, with ids that nobody has; return how many were asked for."""
    wrong = {}
    for route in GUARDED:
        answer = ask(client, route, UNKNOWN, text)
        if route.lets_in(permissions):
            is_right = answer.status_code not in (401, 403) and answer.status_code < 500
            is_right = is_right and (answer.status_code == 404) == bool(PARAMETER.search(route.path))
        else:
            is_right = told(answer) == (403, "forbidden") and f"{route.permission}" in answer.json()["detail"]
        if not is_right:
            wrong[route.method, route.path] = (answer.status_code, answer.text[:200])
    assert wrong == {}
    return len(GUARDED)


@pytest.mark.parametrize("role", list(Role))
def test_every_route_with_every_role(guarded: httpx.Client, sessions: Sessions, role: Role) -> None:
    text = callers.caller(sessions, role)
    assert walk(guarded, text, PERMISSIONS[role]) == len(GUARDED) > 20


@pytest.mark.parametrize("scope", list(Permission))
@pytest.mark.parametrize("role", [Role.VIEWER, Role.PLATFORM_ADMIN])
def test_every_route_with_a_key_for_one_thing(
    guarded: httpx.Client, sessions: Sessions, role: Role, scope: Permission
) -> None:
    text = callers.caller(sessions, role, scopes=[scope])
    assert walk(guarded, text, PERMISSIONS[role] & {scope}) == len(GUARDED)


@pytest.mark.parametrize("shown", [None, "b9p_" + "0" * 16 + "_" + "A" * 43, "a.b.c"])
def test_every_route_without_a_good_key(guarded: httpx.Client, shown: str | None) -> None:
    answers = [ask(guarded, route, UNKNOWN, shown) for route in GUARDED]
    assert {told(answer) for answer in answers} == {(401, "unauthenticated")}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    for route in OPEN_ROUTES:
        answer = ask(guarded, route, {}, shown)
        assert answer.status_code not in (401, 403), route
        assert answer.status_code < 500, route


def theirs(client: httpx.Client, sessions: Sessions) -> dict[str, str]:
    """Return ids of another organization, one of each kind."""
    organization = callers.organization(sessions, "theirs")
    operator = caller(client, sessions, Role.OPERATOR, of=organization)
    made = operator.asks("POST", "/environments", json=document())
    return {
        "environment_id": made.json()["environment_id"],
        "organization_id": organization,
        "member_id": operator.member_id,
        "key_id": operator.key_id,
    }


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PLATFORM_ADMIN])
def test_every_route_with_ids_of_another_organization(
    guarded: httpx.Client, sessions: Sessions, role: Role
) -> None:
    foreign = theirs(guarded, sessions)
    text = callers.caller(sessions, role)
    before = everything(sessions)
    routes = [route for route in GUARDED if PARAMETER.search(route.path)]
    for route in routes:
        answer, unknown = (ask(guarded, route, ids, text) for ids in (foreign, UNKNOWN))
        assert answer.status_code == (404 if route.lets_in(PERMISSIONS[role]) else 403), route
        assert without_ids(answer.text, foreign) == without_ids(unknown.text, UNKNOWN)
    assert len(routes) > 10
    assert everything(sessions) == before


def without_ids(text: str, ids: dict[str, str]) -> str:
    for kind, id_ in ids.items():
        text = text.replace(id_, kind)
    return text


def everything(sessions: Sessions) -> list[object]:
    """Return what must not have changed."""
    with sessions() as session:
        return [
            session.scalar(select(func.count()).where(EnvironmentRow.status == "queued")),
            session.scalar(select(func.count()).where(EnvironmentRow.deletion_protection)),
            session.scalar(select(func.count()).where(OrganizationRow.deleted_at.is_(None))),
            *sorted(
                session.scalars(select(MemberRow.id + MemberRow.role).where(MemberRow.removed_at.is_(None)))
            ),
            *sorted(session.scalars(select(ApiKeyRow.id).where(ApiKeyRow.revoked_at.is_(None)))),
        ]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PLATFORM_ADMIN])
def test_lists_show_nothing_of_another_organization(
    guarded: httpx.Client, sessions: Sessions, role: Role
) -> None:
    foreign = theirs(guarded, sessions)
    me = Caller(guarded, "", callers.caller(sessions, role))
    lists = [route for route in GUARDED if route.method == "GET" and not PARAMETER.search(route.path)]
    for route in lists:
        shown = ask(guarded, route, {}, me.text).text
        assert not [id_ for id_ in foreign.values() if id_ in shown], route
    for id_ in foreign.values():
        assert told(me.asks("GET", "/environments", params={"cursor": id_})) == (400, "invalid-request")
    assert len(lists) >= 5


def app_with(**given: object) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/api/v1/new", lambda: None, **given)  # type: ignore[arg-type]
    return app


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"openapi_extra": OPEN, "dependencies": [Depends(Requires(None))]},
        {
            "dependencies": [
                Depends(Requires(Permission.KEYS_READ)),
                Depends(Requires(Permission.KEYS_WRITE)),
            ]
        },
    ],
)
def test_a_route_that_is_neither_open_nor_guarded_is_found(given: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match=r"neither open|several"):
        guarded_routes(app_with(**given))
    assert guarded_routes(app_with(openapi_extra=OPEN))[0].is_open
