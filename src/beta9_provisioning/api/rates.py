"""How many requests a minute one address, and one caller, may make.

Counts are those of a minute that begins at another second for each of them, so that not all begin anew at
once. All processes share them in Redis, of which each takes a hundredth of what is allowed at a time: to ask
for every single request would cost a sixth of what the API can do. So a process may hold a hundredth that
another one lacks, and limits below 200 are exact. Who has used up a minute is refused without asking.
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
_SHARES = 100
# How many minutes are remembered before those that are over are forgotten.
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


@dataclass
class _Minute:
    """What a process knows of somebody's minute.

    Attributes:
        number: by which all processes call it.
        ends: the time of day.
        counted: how many requests all processes have taken of it, those that they have not used included.
        left: how many of those that this process took it has not used.
        is_told: whether the log has that it is used up.
    """

    number: int
    ends: int
    counted: int = 0
    left: int = 0
    is_told: bool = False


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
        self._minutes: dict[str, _Minute] = {}
        self._most_minutes = _REMEMBERED

    async def count_address(self, request: Request) -> None:
        """Count a request for its address, before anybody looks at who sends it.

        Raises:
            RateLimited: the address has sent too many, or too many that could not be authenticated.
            LimitsUnknown: nobody knows how many, and that is to be known.
        """
        self.check_failures(request)
        await self._count("address", _network(address_of(request)), request)

    def check_failures(self, request: Request) -> None:
        """Refuse an address that may show nothing more in this minute; nothing is counted.

        Raises:
            RateLimited: too many of its requests could not be authenticated.
        """
        self._check("failures", _network(address_of(request)), request)

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
        key = f"{kind}/{whose}"
        minute = self._minute(key)
        if not minute.left and minute.counted < most:
            share = max(1, most // _SHARES)
            try:
                # It lives longer than its minute, for processes whose clocks are behind.
                counted = await self._counters.add(f"{key}/{minute.number}", share, expiry=2 * WINDOW_SECONDS)
            except CountersAway:
                if self._is_open:
                    return
                raise LimitsUnknown from None
            minute.counted = max(minute.counted, counted)
            minute.left += max(0, min(share, most - (counted - share)))
        self._check(kind, whose, request)
        minute.left -= 1
        readings(request).append(self._reading(kind, minute))

    def _check(self, kind: Kind, whose: str, request: Request) -> None:
        key = f"{kind}/{whose}"
        minute = self._minutes.get(key)
        now = self._clock()
        if minute is None or minute.ends <= now or minute.left or minute.counted < self._most[kind]:
            return
        if not minute.is_told:
            minute.is_told = True
            log.warning("rate_limit_used_up", limit=key, most=self._most[kind])
        reading = self._reading(kind, minute)
        readings(request).append(reading)
        raise RateLimited(reading)

    def _minute(self, key: str) -> _Minute:
        """Return the minute that it is for an address or caller."""
        now = self._clock()
        found = self._minutes.get(key)
        if found is None or found.ends <= now:
            number, passed = divmod(int(now) + crc32(key.encode()), WINDOW_SECONDS)
            if len(self._minutes) >= self._most_minutes:
                self._minutes = {name: one for name, one in self._minutes.items() if one.ends > now}
                self._most_minutes = max(_REMEMBERED, 2 * len(self._minutes))
            found = self._minutes[key] = _Minute(number, int(now) + WINDOW_SECONDS - passed)
        return found

    def _reading(self, kind: Kind, minute: _Minute) -> Reading:
        most = self._most[kind]
        left = max(0, most - minute.counted) + max(0, minute.left)
        return Reading(kind, most, left, max(0, ceil(minute.ends - self._clock())))


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
