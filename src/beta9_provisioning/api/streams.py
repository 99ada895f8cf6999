"""Server-sent events: an environment's history, then what happens, until nothing more can come."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import anyio
from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.environments import queries
from beta9_provisioning.environments.queries import News
from beta9_provisioning.kit.background import failed
from beta9_provisioning.kit.database import Sessions, read
from beta9_provisioning.schemas.environment import RESTARTED, Event

MEDIA_TYPE = "text/event-stream"
_BATCH = 500
# Streams read the database by threads of their own, so that many of them take none from other requests.
READERS = 8
"""How many streams read at the same time."""
# How soon a client that lost its stream comes back.
_RETRY = b"retry: 1000\n\n"
_PING = b": ping\n\n"


@dataclass(frozen=True)
class StreamTimes:
    """Seconds between looks at the journal, of silence before a ping, and of a stream's longest life."""

    poll: float = 0.25
    ping: float = 15.0
    life: float = 600.0


class Streams:
    """All streams of an application: they share their readers, and end together when it stops."""

    def __init__(self, sessions: Sessions, times: StreamTimes) -> None:
        self._sessions = sessions
        self._times = times
        self._closing = asyncio.Event()
        self._readers = CapacityLimiter(READERS)

    def close(self) -> None:
        """End every stream at its next step; called in the event loop."""
        self._closing.set()

    async def follow(self, environment_id: str, after: int) -> AsyncIterator[bytes]:
        """Yield the events after one as they happen.

        A client that knows more events than there are, as after a restore of the database, gets
        `stream.restarted` and then all of them.

        Ends when nothing is running and everything was sent, when its life is over, when the service stops
        and when the database is away: a client that wants more comes back with the last id it has.
        """
        yield _RETRY
        began = spoke = monotonic()
        while True:
            try:
                news = await to_thread.run_sync(self._read, environment_id, after, limiter=self._readers)
            except SQLAlchemyError as error:
                failed("streams", error, environment_id=environment_id)
                return
            if after > news.last:
                yield _frame(_restarted(after, news.last))
                after, spoke = 0, monotonic()
                continue
            for event in news.events:
                yield _frame(event)
                after = event.id
                spoke = monotonic()
            if news.is_over or monotonic() - began > self._times.life:
                return
            if monotonic() - spoke > self._times.ping:
                yield _PING
                spoke = monotonic()
            if len(news.events) < _BATCH and await self._closes_within(self._times.poll):
                return

    async def _closes_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await self._closing.wait()
        return self._closing.is_set()

    def _read(self, environment_id: str, after: int) -> News:
        return read(
            self._sessions, lambda session: queries.news(session, environment_id, after=after, limit=_BATCH)
        )


def _restarted(after: int, last: int) -> Event:
    """Return what is told when the event that a client had last is none of ours; no journal has it."""
    return Event(
        id=0,
        at=datetime.now(UTC),
        operation_id=None,
        type=RESTARTED,
        message=(
            f"The history begins anew: it ends at event {last}, before the known event {after}, as after a "
            "restore of the service's database."
        ),
        data={"after": after, "last": last},
    )


def _frame(event: Event) -> bytes:
    return f"id: {event.id}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
