"""Requests are counted for their address, and answers tell what is left."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beta9_provisioning.api import problems
from beta9_provisioning.api.overload import PROBES
from beta9_provisioning.api.rates import WINDOW_SECONDS, LimitsUnknown, RateLimited, Rates, readings


class RateLimits:
    """ASGI middleware: refuses addresses that send too much, but for probes.

    What was counted for a request is in its answer's headers (draft-ietf-httpapi-ratelimit-headers).
    """

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        request = Request(scope)

        async def with_headers(message: Message) -> None:
            found = readings(request)
            if message["type"] == "http.response.start" and found:
                policies = (f'"{one.kind}";q={one.most};w={WINDOW_SECONDS}' for one in found)
                limits = (f'"{one.kind}";r={one.left};t={one.reset}' for one in found)
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = ", ".join(policies)
                headers["RateLimit"] = ", ".join(limits)
            await send(message)

        try:
            await self._rates.count_address(request)
        except RateLimited as limited:
            await problems.rate_limited(request, limited)(scope, receive, with_headers)
        except LimitsUnknown as unknown:
            await problems.limits_unknown(request, unknown)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)
