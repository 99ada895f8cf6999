"""How many requests a minute one address, and one caller, may make.

Counts are those of a minute that begins at another second for each of them, so that not all begin anew at
once, and are shared by all processes. Whoever has used up a minute is refused by the process that knows,
without asking Redis again: a flood costs Redis nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import time
from typing import Literal
from zlib import crc32

import structlog
from fastapi import Request

from beta9_provisioning.kit.counters import Counters, CountersAway
from beta9_provisioning.settings import Settings

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60
# How many used-up minutes are remembered before those that are over are forgotten.
_REMEMBERED = 10_000
_STATE = "rates"

Kind = Literal["address", "failures", "caller"]


@dataclass(frozen=True)
class Reading:
    """A limit after a request: what is left of it, and in how many seconds it begins anew."""

    kind: Kind
    most: int
    left: int
    reset: int


class RateLimited(Exception):
    """A limit is used up."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading.kind)
        self.reading = reading


class LimitsUnknown(Exception):
    """Nobody knows how much was used, and this service does not serve without knowing."""


class Rates:
    """The limits of an application. All calls come from one event loop, and take no thread."""

    def __init__(self, settings: Settings, counters: Counters, *, clock: Callable[[], float] = time) -> None:
        """Count nothing yet. The clock tells the time of day, in seconds, which processes share."""
        self._most: dict[Kind, int] = {
            "address": settings.rate_limit_per_address,
            "failures": settings.rate_limit_failures_per_address,
            "caller": settings.rate_limit_per_caller,
        }
        self._is_open = settings.rate_limit_without_redis == "open"
        self._counters = counters
        self._clock = clock
        self._used_up: dict[str, float] = {}

    async def count_address(self, request: Request) -> None:
        """Count a request for its address, before anybody looks at who sends it.

        Raises:
            RateLimited: the address has sent too many, or too many that could not be authenticated.
            LimitsUnknown: nobody knows how many, and that is to be known.
        """
        network = _network(address_of(request))
        self._check("failures", network, request)
        await self._count("address", network, request)

    async def note_failure(self, request: Request) -> None:
        """Count a request that could not be authenticated, which is refused whatever the count says."""
        try:
            await self._count("failures", _network(address_of(request)), request)
        except (RateLimited, LimitsUnknown):
            return

    async def count_caller(self, request: Request, identifier: str) -> None:
        """Count a request for who sends it; that is no secret, for it goes to Redis as it is.

        Raises:
            RateLimited: the caller has sent too many.
            LimitsUnknown: nobody knows how many, and that is to be known.
        """
        await self._count("caller", identifier, request)

    async def close(self) -> None:
        """Close the connections."""
        await self._counters.close()

    async def _count(self, kind: Kind, whose: str, request: Request) -> None:
        most = self._most[kind]
        if not most:
            return
        self._check(kind, whose, request)
        key = f"{kind}/{whose}"
        window, passed = divmod(int(self._clock()) + crc32(key.encode()), WINDOW_SECONDS)
        reset = WINDOW_SECONDS - passed
        try:
            # It lives longer than its minute, for processes whose clocks are behind.
            count = await self._counters.add(f"{key}/{window}", 2 * WINDOW_SECONDS)
        except CountersAway:
            if self._is_open:
                return
            raise LimitsUnknown from None
        if count >= most:
            self._remember(key, reset)
        reading = Reading(kind, most, max(most - count, 0), reset)
        readings(request).append(reading)
        if count > most:
            raise RateLimited(reading)

    def _check(self, kind: Kind, whose: str, request: Request) -> None:
        left = self._used_up.get(f"{kind}/{whose}", 0.0) - self._clock()
        if left > 0:
            reading = Reading(kind, self._most[kind], 0, ceil(left))
            readings(request).append(reading)
            raise RateLimited(reading)

    def _remember(self, key: str, seconds: int) -> None:
        now = self._clock()
        if len(self._used_up) >= _REMEMBERED:
            self._used_up = {key: until for key, until in self._used_up.items() if until > now}
        self._used_up[key] = int(now) + seconds
        log.warning("rate_limit_used_up", limit=key, seconds=seconds)


def readings(request: Request) -> list[Reading]:
    """Return what was counted for a request, which its answer tells in headers."""
    found: list[Reading] = request.scope.setdefault("state", {}).setdefault(_STATE, [])
    return found


def address_of(request: Request) -> str:
    """Return where a request comes from; empty when it came by no network."""
    return request.client.host if request.client else ""


def _network(address: str) -> str:
    """Return whose an address is: of IPv6 everybody has a network of 2^64 of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
