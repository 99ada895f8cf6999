"""Around every request: its id, a line of log, a span, metrics, and an answer to errors nobody expected."""

import asyncio
import secrets
from dataclasses import replace
from time import perf_counter

import structlog
from anyio import CancelScope
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beta9_provisioning.api import problems
from beta9_provisioning.api.methods import METHODS
from beta9_provisioning.api.trail import Trail
from beta9_provisioning.kit import origin, tracing
from beta9_provisioning.kit.origin import Origin

log = structlog.get_logger(__name__)

# What nginx logs for a client that hung up before it was answered; no client ever sees it.
_CLIENT_GONE = 499
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TRACED = "/api/"


class RequestMetrics:
    """Counts of this process since its start; labels hold route templates, never ids."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "provisioning_api_requests_total",
            "API requests by method, route template and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.latency = Histogram(
            "provisioning_api_request_duration_seconds",
            "Seconds from an API request to the start of its answer.",
            ["method", "route"],
            registry=registry,
            buckets=_BUCKETS,
        )


class Telemetry:
    """ASGI middleware; outside of it are only those that answer nothing themselves."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span, come_from = _begin(scope)
        trail = Trail(come_from)
        scope.setdefault("state", {})["trail"] = trail
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**trail.origin.fields())
        began = perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = trail.origin.request_id or ""
                self._count(scope, status, perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            # Nobody is there to be answered, and nothing has failed here.
            if not status:
                status = _CLIENT_GONE
                self._count(scope, status, perf_counter() - began)
        except asyncio.CancelledError:
            # The service stops, and has waited long enough. Nobody waits for this task: it may end in order.
            if not status:
                with CancelScope(shield=True):
                    await problems.stopping(Request(scope))(scope, receive, watch)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            if status:  # an answer that has begun can only be broken off
                raise
            await problems.internal(Request(scope))(scope, receive, watch)
        finally:
            client = scope.get("client")
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round((perf_counter() - began) * 1000, 1),
                client=client[0] if client else None,
                **trail.made,
            )
            _end(span, scope, status, trail)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = _kind(scope)
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.latency.labels(method, route).observe(seconds)


def _kind(scope: Scope) -> tuple[str, str]:
    """Return method and route template of a request, whatever words it may be made of."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    return method, getattr(scope.get("route"), "path", "other")


def _begin(scope: Scope) -> tuple[tracing.Span, Origin]:
    """Begin the span of a request, and return with it where the request comes from.

    One whose caller gave no id that can be used gets its own. What only looks at the service, such as probes
    and scrapes, makes no spans.
    """
    found = origin.read(scope["headers"])
    come_from = found if found.request_id else replace(found, request_id=secrets.token_hex(8))
    if not scope["path"].startswith(_TRACED):
        return tracing.NO_SPAN, come_from
    method, _ = _kind(scope)
    span = tracing.begin(method, come_from.attributes(), parent=come_from.traceparent, role="server")
    if span.traceparent:
        come_from = replace(come_from, traceparent=span.traceparent)
    return span, come_from


def _end(span: tracing.Span, scope: Scope, status: int, trail: Trail) -> None:
    if span is tracing.NO_SPAN:
        return
    method, route = _kind(scope)
    span.rename(f"{method} {route}")
    span.note({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    span.note({f"provisioning.{name}": value for name, value in trail.made.items()})
    if status >= 500:
        span.fail(str(status))
    span.end()
