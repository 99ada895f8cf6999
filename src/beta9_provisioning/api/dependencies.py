"""What the routes work with, made once per application."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from beta9_provisioning.api.authentication import Authenticator
from beta9_provisioning.api.bounds import Limits
from beta9_provisioning.api.hints import Hints
from beta9_provisioning.api.metrics import Metrics
from beta9_provisioning.api.rates import Rates
from beta9_provisioning.api.readiness import Readiness
from beta9_provisioning.api.streams import Streams
from beta9_provisioning.kit.database import Sessions, hasten
from beta9_provisioning.kit.queue import Queue
from beta9_provisioning.settings import Settings


@dataclass(frozen=True)
class Services:
    """The application's connections."""

    settings: Settings
    limits: Limits
    engine: Engine
    sessions: Sessions
    authenticator: Authenticator
    queue: Queue
    hints: Hints
    streams: Streams
    metrics: Metrics
    rates: Rates
    readiness: Readiness

    def hasten(self) -> None:
        """End the streams and wait less for the database, to stop soon. Call it in the event loop."""
        self.streams.close()
        hasten(self.engine)

    def close(self) -> None:
        """Send the hints that wait, and close the connections."""
        self.hasten()
        self.hints.close()
        self.queue.close()
        self.readiness.close()
        self.metrics.close()
        self.engine.dispose()


# Asynchronous so that FastAPI calls it where it is, and not on a thread.
async def _services(request: Request) -> Services:
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


ServicesDep = Annotated[Services, Depends(_services)]
