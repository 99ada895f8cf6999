"""Methods: which of them a path has, and HEAD, which every path has that has GET."""

from collections.abc import Iterator

import anyio
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def of_path(request: Request) -> list[str]:
    """Return the methods that are possible at a request's path: those of all its routes, in order."""
    found = {method for route in request.app.routes for method in _of_route(route, request.scope)}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _of_route(route: BaseRoute, scope: Scope) -> Iterator[str]:
    # A scope of its own: the request's has been routed already, and a mount has moved its root.
    root = scope.get("app_root_path", scope.get("root_path", ""))
    asked = {"type": "http", "path": scope["path"], "root_path": root, "headers": []}
    for method in METHODS:
        if route.matches({**asked, "method": method})[0] is Match.FULL:
            yield "GET" if isinstance(route, Mount) else method  # a folder of files matches them all


class Head:
    """ASGI middleware: answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what answers HEAD sees a GET whose client hangs up after the headers."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        inner = {**scope, "method": "GET"}
        answered = anyio.Event()
        asked = False

        async def hang_up() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await answered.wait()  # an event stream would go on for minutes
            return {"type": "http.disconnect"}

        async def headers_only(message: Message) -> None:
            if answered.is_set():
                return
            if message["type"] == "http.response.start":
                if "route" in inner:  # for the metrics
                    scope["route"] = inner["route"]
                await send(message)
            elif message["type"] == "http.response.body":
                answered.set()
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(inner, hang_up, headers_only)
