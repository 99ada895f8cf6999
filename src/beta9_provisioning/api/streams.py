"""Server-sent events: an environment's history, then what happens, until nothing more can come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from anyio import CapacityLimiter, move_on_after, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

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


class TooManyStreams(Exception):
    """One address, or one caller, has as many streams as it may have."""

    def __init__(self, *, of_address: bool) -> None:
        super().__init__()
        self.of_address = of_address


class Streams:
    """All streams of an application. They share their readers, and end together when it stops.

    Those that wait for the same event of the same environment wait for one look at the journal.
    """

    def __init__(
        self, sessions: Sessions, times: StreamTimes, *, per_address: int = 0, per_caller: int = 0
    ) -> None:
        """Prepare; nothing is read yet. An address and a caller may have so many streams; 0 is any number."""
        self._sessions = sessions
        self._times = times
        self._per_address = per_address
        self._per_caller = per_caller
        self._closing = asyncio.Event()
        self._readers = CapacityLimiter(READERS)
        self._watches: dict[tuple[str, int], _Watch] = {}
        self._open: Counter[str] = Counter()

    def close(self) -> None:
        """End every stream at its next step; called in the event loop."""
        self._closing.set()
        for watch in self._watches.values():
            watch.left.set()

    @contextmanager
    def place(self, address: str, caller: str | None) -> Iterator[None]:
        """Count one stream more of an address, and of a caller if there is one; called in the event loop.

        Raises:
            TooManyStreams: there may be no more.
        """
        mine = [f"address/{address}"] if caller is None else [f"address/{address}", f"caller/{caller}"]
        for one, most in zip(mine, (self._per_address, self._per_caller), strict=False):
            if most and self._open[one] >= most:
                raise TooManyStreams(of_address=one is mine[0])
        self._open.update(mine)
        try:
            yield
        finally:
            self._open -= Counter(mine)  # which drops what has come to 0

    async def follow(
        self, environment_id: str, after: int, may_go_on: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        """Yield the events after one as they happen.

        A client that knows more events than there are, as after a restore of the database, gets
        `stream.restarted` and then all of them.

        Ends when nothing is running and everything was sent, when its life is over, when the service stops
        and when the database is away: a client that wants more comes back with the last id it has. And when
        the caller may not go on, which is asked as often as a silent stream pings.
        """
        yield _RETRY
        began = spoke = judged = monotonic()
        while not self._closing.is_set():
            until = min(spoke + self._times.ping, judged + self._times.ping, began + self._times.life)
            look = await self._next(environment_id, after, until - monotonic())
            if self._closing.is_set():
                return
            if monotonic() - judged >= self._times.ping:
                if not await may_go_on():
                    return
                judged = monotonic()
            if look is None:
                yield _PING
            else:
                for frame in look.frames:
                    yield frame
                after = look.after
            spoke = monotonic()
            if (look is not None and look.is_over) or spoke - began > self._times.life:
                return

    async def _next(self, environment_id: str, after: int, seconds: float) -> _Look | None:
        """Wait for news at most so long; None when there are none."""
        key = environment_id, after
        watch = self._watches.get(key)
        if watch is None or watch.left.is_set() or watch.task.done():
            left = asyncio.Event()
            task = asyncio.create_task(self._look_until_news(environment_id, after, left))
            watch = self._watches[key] = _Watch(task, left)
        watch.followers += 1
        try:
            await asyncio.wait({watch.task}, timeout=max(0.0, seconds))
            return watch.task.result() if watch.task.done() else None
        finally:
            watch.followers -= 1
            if not watch.followers:
                # Never cancelled: a thread that reads would go on, and its place be given to another one.
                watch.left.set()
                if self._watches.get(key) is watch:
                    del self._watches[key]

    async def _look_until_news(self, environment_id: str, after: int, left: asyncio.Event) -> _Look | None:
        while not left.is_set():
            try:
                news = await to_thread.run_sync(self._read, environment_id, after, limiter=self._readers)
            except SQLAlchemyError as error:
                failed("streams", error, environment_id=environment_id)
                return _Look([], after, is_over=True)
            if after > news.last:
                return _Look([_frame(_restarted(after, news.last))], 0, is_over=False)
            if news.events or news.is_over:
                last = news.events[-1].id if news.events else after
                return _Look([_frame(event) for event in news.events], last, news.is_over)
            with move_on_after(self._times.poll):
                await left.wait()
        return None

    def _read(self, environment_id: str, after: int) -> News:
        return read(
            self._sessions, lambda session: queries.news(session, environment_id, after=after, limit=_BATCH)
        )


class StreamResponse(StreamingResponse):
    """The answer that is a stream; it has its place before it begins, so that two never take the last one."""

    def __init__(
        self,
        streams: Streams,
        environment_id: str,
        after: int,
        *,
        address: str,
        caller: str | None,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__(
            streams.follow(environment_id, after, may_go_on),
            media_type=MEDIA_TYPE,
            headers={"X-Accel-Buffering": "no"},
        )
        self._place = streams.place(address, caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, or raise TooManyStreams."""
        with self._place:
            await super().__call__(scope, receive, send)


@dataclass(frozen=True)
class _Look:
    """What a look at the journal found: frames to send, the last event that is known then, and the end."""

    frames: list[bytes]
    after: int
    is_over: bool


@dataclass
class _Watch:
    """A look that is repeated until there are news, and how many streams wait for it."""

    task: asyncio.Task[_Look | None]
    left: asyncio.Event
    """Set when nobody waits any more."""
    followers: int = 0


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
