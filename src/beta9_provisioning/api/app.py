"""The application: routes, error mapping, telemetry, and the connections they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from beta9_provisioning.api import environments, openapi, problems, service
from beta9_provisioning.api.dependencies import Services
from beta9_provisioning.api.hints import Hints
from beta9_provisioning.api.metrics import Metrics
from beta9_provisioning.api.streams import Streams, StreamTimes
from beta9_provisioning.api.telemetry import Telemetry
from beta9_provisioning.kit.database import connect, sessions
from beta9_provisioning.kit.queue import Queue
from beta9_provisioning.settings import Settings

_API_VERSION = "1"


def create_app(settings: Settings, *, stream_times: StreamTimes | None = None) -> FastAPI:
    """Return the application. Nothing is connected yet: it starts without database and queue, and says so.

    Args:
        settings: of this process.
        stream_times: pace of the event streams, for tests.
    """
    engine = connect(settings.database_url)
    factory = sessions(engine)
    queue = Queue(settings.redis_url)
    services = Services(
        settings=settings,
        engine=engine,
        sessions=factory,
        queue=queue,
        hints=Hints(queue),
        streams=Streams(factory, stream_times or StreamTimes()),
        metrics=Metrics(factory, queue),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.hints.start()
        yield
        services.close()

    app = FastAPI(
        title="Beta9 Provisioning",
        version=_API_VERSION,
        summary="Creates and destroys complete Beta9 environments in your cloud accounts.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.services = services
    app.add_middleware(Telemetry, metrics=services.metrics.requests)
    problems.install(app)
    app.include_router(environments.router)
    app.include_router(service.router)
    openapi.install(app)
    return app
