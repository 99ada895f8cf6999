"""Counts of the current minute or so in Redis, which all processes share; Redis may be away, or hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import redis.asyncio
import structlog
from limits.aio.storage import RedisStorage
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from beta9_provisioning.kit import redis_url
from beta9_provisioning.kit.queue import NAMESPACE

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 0.5
"""How long one count is waited for."""
PAUSE_SECONDS = 5.0
"""How long Redis is not asked after it has failed."""
_CONNECTIONS = 16


class CountersAway(Exception):
    """Redis could not be asked, or did not answer in time."""


class Counters:
    """Adds to counts; all calls come from one event loop, and take no thread.

    After a failure nobody asks for a while, so that a Redis that hangs costs few requests a short wait each,
    and none a long one. Then one asks again, and the others once it has been answered.
    """

    def __init__(
        self,
        url: str,
        *,
        seconds: float = ANSWER_SECONDS,
        pause: float = PAUSE_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Connect to nothing yet."""
        self._pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=None,  # what waits for a connection is bounded below, like all else
            # Once more for a connection that has ended since its last use; a count that may have been taken
            # is not repeated.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=f"{NAMESPACE}:limits",
            connection_pool=self._pool,  # type: ignore[arg-type]  # documented, and not in its types
        )
        self._where = redis_url.address(url)
        self._seconds = seconds
        self._pause = pause
        self._clock = clock
        self._away_until: float | None = None
        self._answered = 0.0

    async def add(self, key: str, amount: int, *, expiry: int) -> int:
        """Add to a count that is forgotten so many seconds after it began; return what it is now.

        Raises:
            CountersAway: it could not be counted.
        """
        now = self._clock()
        if self._away_until is not None:
            if now < self._away_until:
                raise CountersAway
            self._away_until = now + self._pause  # the others go on waiting, for this one
        try:
            async with asyncio.timeout(self._seconds):
                count = await self._storage.incr(key, expiry, amount)
        except (redis.RedisError, OSError) as error:  # TimeoutError is one
            self._failed(now, error)
            raise CountersAway from error
        self._answered = self._clock()
        if self._away_until is not None:
            self._away_until = None
            log.warning("counters_back", redis=self._where)
        return count

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    def _failed(self, asked: float, error: Exception) -> None:
        """Ask no more for a while, unless others were answered meanwhile: then we are slow, not Redis."""
        if isinstance(error, TimeoutError) and self._answered > asked:
            return
        if self._away_until is None:
            reason = str(error)[:200] or f"no answer within {self._seconds:g} s"
            log.warning("counters_away", redis=self._where, reason=reason)
        self._away_until = self._clock() + self._pause
