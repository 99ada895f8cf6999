"""How many requests are worked on at the same time."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from beta9_provisioning.api import problems

# Probes and Prometheus ask these, and would take a service that only has much to do for one that is down.
PROBES = frozenset({"/health", "/health/ready", "/metrics"})


class RequestLimit:
    """ASGI middleware: refuses requests while too many are worked on, but for probes."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._open >= self._most and scope["path"] not in PROBES:
            await problems.too_many_requests(Request(scope))(scope, receive, send)
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1
