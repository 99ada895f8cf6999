"""All routes of the API and what each asks of a caller, read from the application itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Mount, Route

from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.authorization import OPEN, Requires
from beta9_provisioning.api.service import ASSETS, DOCUMENTATION, OPENAPI
from beta9_provisioning.schemas.callers import Permission, Role
from beta9_provisioning.settings import Settings

# Routes of the framework, which have no mark; and those about the service that have guards of their own.
_OPEN = {"/", DOCUMENTATION, f"{DOCUMENTATION}/oauth2-redirect", ASSETS, OPENAPI, "/metrics"}


@dataclass(frozen=True)
class GuardedRoute:
    """One method of one path.

    Attributes:
        is_open: everybody is let in.
        permission: what the caller must have; None for every caller who is known.
    """

    method: str
    path: str
    is_open: bool
    permission: Permission | None

    def lets_in(self, permissions: frozenset[Permission]) -> bool:
        """Tell whether a caller with these permissions is let in."""
        return self.permission is None or self.permission in permissions


def application() -> FastAPI:
    """Return the application as it is by default; nothing is connected."""
    return create_app(Settings(_env_file=None))  # type: ignore[call-arg]


def guarded_routes(app: FastAPI) -> list[GuardedRoute]:
    """Return every route of the application.

    Raises:
        AssertionError: one is neither open by name nor guarded; or it is both.
    """
    return [one for context in iter_route_contexts(app.routes) for one in _of(context.original_route)]


def access_table() -> str:
    """Return the table of route and role, in Markdown."""
    columns = ("Request", "Permission", *(f"`{role}`" for role in Role))
    lines = [_row(columns), _row(["---"] * len(columns))]
    for route in guarded_routes(application()):
        asked = "open" if route.is_open else (f"`{route.permission}`" if route.permission else "any key")
        may = ["yes" if route.is_open or route.lets_in(PERMISSIONS[role]) else "" for role in Role]
        lines.append(_row([f"`{route.method} {route.path}`", asked, *may]))
    return "".join(lines)


def _row(cells: "tuple[str, ...] | list[str]") -> str:
    return f"| {' | '.join(cells)} |\n"


def _of(route: BaseRoute) -> Iterator[GuardedRoute]:
    assert isinstance(route, Route | APIRoute | Mount), f"{route} is of an unknown kind"
    guards = list(_requirements(route.dependant)) if isinstance(route, APIRoute) else []
    is_marked = isinstance(route, APIRoute) and route.openapi_extra == OPEN
    is_open = is_marked or route.path in _OPEN
    assert is_open != bool(guards), f"{route.path} is neither open nor guarded, or both"
    asked = {guard.permission for guard in guards if guard.permission is not None}
    assert len(asked) <= 1, f"{route.path} asks for several permissions"
    methods = {"GET"} if isinstance(route, Mount) else set(route.methods or ()) - {"HEAD"}
    for method in sorted(methods):
        yield GuardedRoute(method, route.path, is_open, next(iter(asked), None))


def _requirements(dependant: Dependant) -> Iterator[Requires]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Requires):
            yield dependency.call
        yield from _requirements(dependency)
