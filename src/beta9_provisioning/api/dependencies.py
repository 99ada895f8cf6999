"""What the routes work with, made once per application."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from beta9_provisioning.access.credentials import confirm
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.api.authentication import Authenticator
from beta9_provisioning.api.bounds import Limits
from beta9_provisioning.api.hints import Hints
from beta9_provisioning.api.metrics import Metrics
from beta9_provisioning.api.rates import Rates
from beta9_provisioning.api.readiness import Readiness
from beta9_provisioning.api.streams import Streams
from beta9_provisioning.kit.database import Sessions, hasten, transaction
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


@contextmanager
def changing(services: Services, principal: Principal) -> Iterator[Session]:
    """Open the transaction of a caller's change, who must still be known in it; commit at the end.

    Raises:
        Unauthenticated: he is not any more.
    """
    with transaction(services.sessions) as session:
        confirm(session, principal)
        yield session


ServicesDep = Annotated[Services, Depends(_services)]
