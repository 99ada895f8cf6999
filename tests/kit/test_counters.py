"""Counts in a genuine Valkey, and what happens when it hangs, is away, or takes no writes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import redis
from structlog.testing import capture_logs
from tests.support.proxy import proxy_to
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.kit.counters import Counters, CountersAway
from beta9_provisioning.local.services import embedded_valkey

T = TypeVar("T")


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def own_redis() -> Iterator[str]:
    """The URL of a server that no other test uses, and that may be treated badly."""
    with embedded_valkey() as url:
        yield url


def run(work: Coroutine[Any, Any, T], *counters: Counters) -> T:
    async def whole() -> T:
        try:
            return await work
        finally:
            for one in counters:
                await one.close()

    return asyncio.run(whole())


def test_counts_are_shared_and_forgotten(redis_url: str) -> None:
    ours, theirs = (Counters(redis_url, seconds=GUARD_SECONDS) for _ in range(2))

    async def count() -> list[int]:
        return [await one.add("caller/x/1", 1, expiry=120) for one in (ours, theirs, ours)]

    assert run(count(), ours, theirs) == [1, 2, 3]
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.scan_iter("provisioning:limits*")
        assert 0 < int(client.ttl(key)) <= 120


def test_none_is_lost_when_many_count_at_once(own_redis: str) -> None:
    counters = Counters(own_redis, seconds=GUARD_SECONDS)

    async def count() -> list[int]:
        return await asyncio.gather(*(counters.add("x", 1, expiry=60) for _ in range(300)))

    assert sorted(run(count(), counters)) == list(range(1, 301))
    with redis.Redis.from_url(own_redis) as client:
        assert len(client.client_list()) < 100, "not a connection for each"


def test_a_redis_that_hangs_is_asked_once_in_a_pause(redis_url: str) -> None:
    with proxy_to(redis_url) as proxy, capture_logs() as logs:
        proxy.freeze()
        clock = Clock()
        counters = Counters(proxy.url, seconds=0.5, pause=5.0, clock=clock)

        async def ask() -> None:
            with pytest.raises(CountersAway):
                await counters.add("x", 1, expiry=60)

        async def many() -> None:
            for _ in range(50):
                await ask()
            assert until(lambda: proxy.held, "the first is held") == 1
            clock.now += 5.0
            # One of them asks, and the others do not wait for it.
            await asyncio.gather(*(ask() for _ in range(50)))
            assert until(lambda: proxy.held > 1, "the second is held")
            assert proxy.held == 2

        run(many(), counters)

    assert [line["event"] for line in logs] == ["counters_away"], "it is told once"


def test_many_at_once_wait_no_longer_than_one(redis_url: str) -> None:
    with proxy_to(redis_url) as proxy:
        proxy.freeze()
        counters = Counters(proxy.url, seconds=0.2)

        async def ask() -> bool:
            try:
                await counters.add("x", 1, expiry=60)
            except CountersAway:
                return True
            return False

        async def many() -> list[bool]:
            # More than there are connections: those wait within the same time.
            async with asyncio.timeout(GUARD_SECONDS):
                return await asyncio.gather(*(ask() for _ in range(500)))

        assert all(run(many(), counters))


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock", "redis://nowhere.invalid"]
)
def test_a_redis_that_is_not_there_is_away(url: str) -> None:
    counters = Counters(url, seconds=GUARD_SECONDS)

    async def ask() -> None:
        for _ in range(3):
            with pytest.raises(CountersAway):
                await counters.add("x", 1, expiry=60)

    run(ask(), counters)


def test_it_counts_again_when_redis_is_back(own_redis: str) -> None:
    clock = Clock()
    counters = Counters(own_redis, seconds=GUARD_SECONDS, pause=5.0, clock=clock)

    async def ask() -> list[int]:
        with redis.Redis.from_url(own_redis) as client:
            client.config_set("maxmemory", "1")  # it takes no writes then
            try:
                with pytest.raises(CountersAway):
                    await counters.add("x", 1, expiry=60)
            finally:
                client.config_set("maxmemory", "0")
        with pytest.raises(CountersAway):
            await counters.add("x", 1, expiry=60)
        clock.now += 5.0
        return [await counters.add("x", 1, expiry=60), await counters.add("x", 1, expiry=60)]

    with capture_logs() as logs:
        assert run(ask(), counters) == [1, 2]
    assert [line["event"] for line in logs] == ["counters_away", "counters_back"]


def test_a_connection_that_has_ended_meanwhile_is_replaced(own_redis: str) -> None:
    counters = Counters(own_redis, seconds=GUARD_SECONDS)

    async def ask() -> list[int]:
        first = await counters.add("x", 1, expiry=60)
        with redis.Redis.from_url(own_redis) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return [first, await counters.add("x", 1, expiry=60)]

    assert run(ask(), counters) == [1, 2]


def test_no_password_is_told() -> None:
    counters = Counters("redis://user:secret-word@127.0.0.1:1/0", seconds=GUARD_SECONDS)

    async def ask() -> None:
        with pytest.raises(CountersAway):
            await counters.add("x", 1, expiry=60)

    with capture_logs() as logs:
        run(ask(), counters)
    assert "secret-word" not in str(logs)
    assert logs
