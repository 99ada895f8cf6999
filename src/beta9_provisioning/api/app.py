"""The application: routes, error mapping, telemetry, and the connections they share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import time

from anyio import to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from beta9_provisioning.access.oidc import OidcVerifier
from beta9_provisioning.api import (
    api_keys,
    audit_log,
    environments,
    identity,
    members,
    openapi,
    organizations,
    problems,
    service,
)
from beta9_provisioning.api.auditing import AuditRefusals
from beta9_provisioning.api.authentication import Authenticator
from beta9_provisioning.api.bounds import Limits
from beta9_provisioning.api.dependencies import Services
from beta9_provisioning.api.headers import SecurityHeaders
from beta9_provisioning.api.hints import Hints
from beta9_provisioning.api.hosts import AllowedHosts
from beta9_provisioning.api.limiting import RateLimits
from beta9_provisioning.api.methods import Head
from beta9_provisioning.api.metrics import Metrics
from beta9_provisioning.api.overload import RequestLimit
from beta9_provisioning.api.rates import Rates
from beta9_provisioning.api.readiness import Readiness
from beta9_provisioning.api.service import ASSETS, DOCUMENTATION, OPENAPI
from beta9_provisioning.api.streams import READERS, Streams, StreamTimes
from beta9_provisioning.api.telemetry import Telemetry
from beta9_provisioning.kit.counters import Counters
from beta9_provisioning.kit.database import connect, sessions
from beta9_provisioning.kit.guarded import GuardedClient
from beta9_provisioning.kit.queue import Queue
from beta9_provisioning.settings import Settings

_API_VERSION = "1"
# Requests that are worked on at the same time. Each has a connection, so that none waits for one in a thread.
_REQUESTS = 16
# A row that stays locked may keep a request no longer than this: others wait for its thread.
_LOCK_SECONDS = 1
# Nor may anything else of the database, that it would be silent included: who asks has given up by then.
_STATEMENT_SECONDS = 10


def create_app(
    settings: Settings,
    *,
    stream_times: StreamTimes | None = None,
    counts: Path | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time,
) -> FastAPI:
    """Return the application. Nothing is connected yet: it starts without database and queue, and says so.

    Args:
        settings: of this process.
        stream_times: pace of the event streams, for tests.
        counts: directory of the counts of several processes, of which this is one (counting.py).
        limits: of requests; those of its connections are the server's.
        clock: tells the minutes in which requests are counted.
    """
    limits = limits or Limits()
    engine = connect(
        settings.database_url,
        pool_size=_REQUESTS + READERS,
        lock_seconds=_LOCK_SECONDS,
        statement_seconds=_STATEMENT_SECONDS,
    )
    factory = sessions(engine)
    queue = Queue(settings.redis_url)
    rates = Rates(settings, Counters(settings.redis_url), clock=clock)
    services = Services(
        settings=settings,
        limits=limits,
        engine=engine,
        sessions=factory,
        authenticator=Authenticator(
            factory, rates, _verifier(settings), is_required=settings.auth_mode == "required"
        ),
        queue=queue,
        hints=Hints(queue),
        streams=Streams(
            factory,
            stream_times or StreamTimes(),
            per_address=settings.max_streams_per_address,
            per_caller=settings.max_streams_per_caller,
        ),
        metrics=Metrics(engine, settings.database_url, queue, counts),
        rates=rates,
        readiness=Readiness(settings.database_url, settings.redis_url),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = _REQUESTS
        services.hints.start()
        watching = asyncio.create_task(services.metrics.threads.watch())
        yield
        watching.cancel()
        await services.rates.close()
        services.close()

    app = FastAPIOffline(
        # It would send stacks and messages of exceptions, and under other names what telemetry.py sends.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        title="Beta9 Provisioning",
        version=_API_VERSION,
        summary="Creates and destroys complete Beta9 environments in your cloud accounts.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=DOCUMENTATION,
        redoc_url=None,
        static_url=ASSETS,
        # A badge that would send the document's address to a validator on the Internet.
        swagger_ui_parameters={"validatorUrl": None},
        openapi_url=OPENAPI,
    )
    app.state.services = services
    # The last one is the outermost.
    app.add_middleware(AuditRefusals, sessions=factory)
    app.add_middleware(Head)
    app.add_middleware(AllowedHosts, allowed=settings.allowed_hosts, api_host=settings.api_host)
    app.add_middleware(RateLimits, rates=services.rates)
    app.add_middleware(RequestLimit, most=limits.requests)
    app.add_middleware(Telemetry, metrics=services.metrics.requests)
    app.add_middleware(SecurityHeaders, cacheable=ASSETS)
    problems.install(app)
    app.include_router(environments.router)
    for module in (organizations, members, api_keys, audit_log, identity):
        app.include_router(module.router)
    app.include_router(service.router)
    openapi.install(app)
    return app


def _verifier(settings: Settings) -> OidcVerifier | None:
    """Return what verifies tokens of the issuer; None when there is none."""
    if not settings.oidc_issuer:
        return None
    return OidcVerifier(
        settings.oidc_issuer,
        settings.oidc_audience,
        GuardedClient(settings.outgoing_allowed_networks),
        member_claim=settings.oidc_member_claim,
    )
