"""How many requests a minute an address and a caller may make."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from fastapi import Request
from structlog.testing import capture_logs
from tests.api.test_environments import problem
from tests.support import callers
from tests.support.callers import bearer
from tests.support.serving import answers, api_process, serving
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.access.keys import new
from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.rates import LimitsUnknown, RateLimited, Rates, readings
from beta9_provisioning.kit.counters import Counters
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.settings import Settings

URL = "/api/v1/environments"
NOWHERE = "redis://127.0.0.1:1/0"


class Clock:
    """Time of day that passes when a test says so."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limited(settings: Settings, **limits: Any) -> Settings:
    none = {"rate_limit_per_address": 0, "rate_limit_per_caller": 0, "rate_limit_failures_per_address": 0}
    return settings.model_copy(update={**none, **limits})


def request_from(address: str) -> Request:
    return Request({"type": "http", "client": (address, 1)})


class Case:
    """Limits in an event loop that lives as long as the test's."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.rates = Rates(settings, Counters(settings.redis_url, seconds=GUARD_SECONDS), clock=clock)
        self.runner = asyncio.Runner()

    def run(self, work: Awaitable[None]) -> None:
        async def whole() -> None:
            await work

        self.runner.run(whole())

    def passes(self, count: Callable[[Request], Awaitable[None]], address: str = "192.0.2.1") -> bool:
        try:
            self.run(count(request_from(address)))
        except RateLimited:
            return False
        return True

    def close(self) -> None:
        self.run(self.rates.close())
        self.runner.close()


@pytest.fixture
def make(settings: Settings, clock: Clock) -> Iterator[Callable[..., Case]]:
    with ExitStack() as stack:

        def new(**limits: Any) -> Case:
            case = Case(limited(settings, **limits), clock)
            stack.callback(case.close)
            return case

        yield new


class TestAddresses:
    def test_one_may_send_so_many_in_a_minute(self, make: Callable[..., Case], clock: Clock) -> None:
        case = make(rate_limit_per_address=5)
        count = case.rates.count_address

        assert [case.passes(count) for _ in range(7)] == [True] * 5 + [False] * 2
        assert case.passes(count, "192.0.2.2"), "another address has its own"
        clock.now += 60
        assert case.passes(count)

    def test_it_may_again_after_as_many_seconds_as_it_was_told(
        self, make: Callable[..., Case], clock: Clock
    ) -> None:
        case = make(rate_limit_per_address=1)
        case.passes(case.rates.count_address)
        asked = request_from("192.0.2.1")
        with pytest.raises(RateLimited) as refused:
            case.run(case.rates.count_address(asked))

        reset = refused.value.reading.reset
        assert 0 < reset <= 60
        assert readings(asked) == [refused.value.reading]
        clock.now += reset - 1
        assert not case.passes(case.rates.count_address)
        clock.now += 1
        assert case.passes(case.rates.count_address)

    @pytest.mark.parametrize(
        ("first", "second", "is_one"),
        [
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("::ffff:192.0.2.7", "192.0.2.7", True),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
            ("192.0.2.7", "192.0.2.8", False),
            ("", "testclient", False),
        ],
    )
    def test_somebodys_addresses_count_together(
        self, make: Callable[..., Case], first: str, second: str, is_one: bool
    ) -> None:
        case = make(rate_limit_per_address=1)

        assert case.passes(case.rates.count_address, first)
        assert case.passes(case.rates.count_address, second) is not is_one

    def test_minutes_of_many_do_not_begin_together(self, make: Callable[..., Case]) -> None:
        case = make(rate_limit_per_address=9)
        resets = set()
        for number in range(30):
            asked = request_from(f"192.0.2.{number}")
            case.run(case.rates.count_address(asked))
            resets.add(readings(asked)[0].reset)

        assert len(resets) > 10

    def test_without_a_limit_redis_is_not_asked(self, make: Callable[..., Case]) -> None:
        case = make(redis_url=NOWHERE, rate_limit_without_redis="closed")

        assert case.passes(case.rates.count_address)

    def test_redis_is_asked_for_a_hundredth_at_a_time(
        self, make: Callable[..., Case], redis_url: str
    ) -> None:
        one, other = make(rate_limit_per_address=1000), make(rate_limit_per_address=1000)
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            passed = [one.passes(one.rates.count_address) for _ in range(11)]
            (key,) = client.scan_iter("provisioning:limits*")
            assert client.get(key) == "20"
            passed += [other.passes(other.rates.count_address) for _ in range(5)]
            assert client.get(key) == "30"
            passed += [one.passes(one.rates.count_address) for _ in range(1100)]

        # The rest of what the other one holds is all that is not used.
        assert sum(passed) == 995
        assert [other.passes(other.rates.count_address) for _ in range(7)] == [True] * 5 + [False] * 2

    def test_no_more_than_all_passes_at_once(self, make: Callable[..., Case]) -> None:
        cases = [make(rate_limit_per_address=330) for _ in range(3)]

        async def flood(case: Case) -> int:
            asked = (case.rates.count_address(request_from("192.0.2.1")) for _ in range(500))
            found = await asyncio.gather(*asked, return_exceptions=True)
            return sum(one is None for one in found)

        assert sum(case.runner.run(flood(case)) for case in cases) == 330

    def test_what_is_remembered_is_forgotten(self, make: Callable[..., Case], clock: Clock) -> None:
        case = make(rate_limit_per_address=1, rate_limit_without_redis="open", redis_url=NOWHERE)

        async def from_many() -> None:
            for number in range(60_000):
                await case.rates.count_address(request_from(f"{number >> 8}.{number & 255}.0.1"))
                clock.now += 0.01

        tracemalloc.start()
        case.run(from_many())
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 10_000_000

    def test_a_flood_costs_redis_nothing(self, make: Callable[..., Case], redis_url: str) -> None:
        case = make(rate_limit_per_address=3)
        with capture_logs() as logs:
            passed = [case.passes(case.rates.count_address) for _ in range(200)]

        assert sum(passed) == 3
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            (key,) = client.scan_iter("provisioning:limits*")
            assert client.get(key) == "3"
        assert [line["event"] for line in logs] == ["rate_limit_used_up"], "nor the log more than a line"


class TestFailures:
    def test_an_address_may_fail_so_often(self, make: Callable[..., Case], clock: Clock) -> None:
        case = make(rate_limit_failures_per_address=3)
        for _ in range(3):
            assert case.passes(case.rates.count_address)
            case.run(case.rates.note_failure(request_from("192.0.2.1")))

        asked = request_from("192.0.2.1")
        with pytest.raises(RateLimited) as refused:
            case.run(case.rates.count_address(asked))
        assert refused.value.reading.kind == "failures"
        assert case.passes(case.rates.count_address, "192.0.2.2")
        clock.now += 60
        assert case.passes(case.rates.count_address)

    def test_another_process_learns_of_it_by_a_failure(self, make: Callable[..., Case]) -> None:
        one, other = make(rate_limit_failures_per_address=3), make(rate_limit_failures_per_address=3)
        for _ in range(3):
            one.run(one.rates.note_failure(request_from("192.0.2.1")))

        other.run(other.rates.note_failure(request_from("192.0.2.1")))
        assert not other.passes(other.rates.count_address)

    @pytest.mark.parametrize("without", ["open", "closed"])
    def test_they_are_refused_as_such_without_redis(self, make: Callable[..., Case], without: str) -> None:
        case = make(redis_url=NOWHERE, rate_limit_failures_per_address=3, rate_limit_without_redis=without)

        case.run(case.rates.note_failure(request_from("192.0.2.1")))


class TestCallers:
    def test_one_may_send_so_many_from_anywhere(self, make: Callable[..., Case]) -> None:
        one, other = make(rate_limit_per_caller=4), make(rate_limit_per_caller=4)

        def passes(case: Case, caller: str, address: str) -> bool:
            return case.passes(lambda asked: case.rates.count_caller(asked, caller), address)

        passed = [passes((one, other)[number % 2], "mem_a", f"192.0.2.{number}") for number in range(6)]

        assert passed == [True] * 4 + [False] * 2
        assert passes(one, "mem_b", "192.0.2.1")


class TestRedisAway:
    def test_everything_passes_if_it_is_to(self, make: Callable[..., Case]) -> None:
        case = make(redis_url=NOWHERE, rate_limit_per_address=1, rate_limit_without_redis="open")
        asked = request_from("192.0.2.1")

        for _ in range(5):
            case.run(case.rates.count_address(asked))
        assert readings(asked) == [], "nobody knows what is left"

    def test_nothing_passes_if_it_is_to(self, make: Callable[..., Case]) -> None:
        case = make(redis_url=NOWHERE, rate_limit_per_address=1, rate_limit_without_redis="closed")

        with pytest.raises(LimitsUnknown):
            case.run(case.rates.count_address(request_from("192.0.2.1")))


class TestAnswers:
    def test_they_tell_what_is_left_and_refuse_in_a_problem_document(
        self, settings: Settings, clock: Clock
    ) -> None:
        app = create_app(limited(settings, rate_limit_per_address=2), clock=clock)
        with serving(app) as server, server.client() as client:
            first, second, third = (client.get(URL) for _ in range(3))

            seconds = int(third.headers["Retry-After"])
            assert first.is_success
            assert first.headers["RateLimit-Policy"] == '"address";q=2;w=60'
            assert first.headers["RateLimit"] == f'"address";r=1;t={seconds}'
            assert second.headers["RateLimit"] == f'"address";r=0;t={seconds}'
            assert problem(third, 429, "rate-limited")
            assert third.headers["RateLimit"] == f'"address";r=0;t={seconds}'
            assert third.headers["X-Request-ID"]
            assert third.headers["Cache-Control"] == "no-store"
            assert f"again in {seconds} s" in third.json()["detail"]
            for path in ("/health", "/health/ready", "/metrics"):
                probe = client.get(path)
                assert probe.is_success
                assert "RateLimit" not in probe.headers
            for path in ("/docs", "/nowhere", "/api/v1/environments/x"):
                assert problem(client.get(path), 429, "rate-limited")
            clock.now += seconds
            assert client.get(URL).is_success

    def test_what_is_refused_is_not_done(self, settings: Settings, clock: Clock) -> None:
        app = create_app(limited(settings, rate_limit_per_address=1), clock=clock)
        with serving(app) as server, server.client() as client:
            client.get(URL)
            assert problem(client.post("/api/v1/environments", content=b"x" * 100_000), 429, "rate-limited")

    def test_no_header_says_where_a_request_comes_from(self, settings: Settings, clock: Clock) -> None:
        """Of a peer that is no proxy of ours; the server trusts those on loopback alone."""
        app = create_app(limited(settings, rate_limit_per_address=1), clock=clock)
        with serving(app) as server, server.client() as client:
            forms = [{"Forwarded": "for=192.0.2.9"}, {"X-Real-IP": "192.0.2.9"}, {"Client-IP": "192.0.2.9"}]
            statuses = [client.get(URL, headers=form).status_code for form in forms]

            assert statuses == [200, 429, 429]

    def test_a_proxy_of_ours_says_where_a_request_comes_from(self, settings: Settings, clock: Clock) -> None:
        app = create_app(limited(settings, rate_limit_per_address=1), clock=clock)
        with serving(app) as server, server.client() as client:

            def status(forwarded: str) -> int:
                return client.get(URL, headers={"X-Forwarded-For": forwarded}).status_code

            assert [status("192.0.2.7"), status("192.0.2.7"), status("192.0.2.8")] == [200, 429, 200]
            assert status("192.0.2.9, 192.0.2.7") == 429, "what the client wrote itself comes before"

    def test_a_proxy_is_known_by_its_network(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.0/8, 10.0.0.0/8")
        port = free_port()
        with api_process(limited(settings, rate_limit_per_address=1), port, tmp_path):
            until(lambda: answers(port), "it serves")
            clients = ("192.0.2.7, 10.1.2.3", "192.0.2.8, 10.1.2.3")
            codes = [
                httpx.get(f"http://127.0.0.1:{port}{URL}", headers={"X-Forwarded-For": came}).status_code
                for came in clients
            ]
        assert codes == [200, 200]

    def test_closed_without_redis_says_so_and_probes_pass(self, settings: Settings) -> None:
        closed = limited(
            settings, rate_limit_per_address=9, rate_limit_without_redis="closed", redis_url=NOWHERE
        )
        with serving(create_app(closed)) as server, server.client() as client:
            refused = client.get(URL)
            assert problem(refused, 503, "limits-unknown")
            assert refused.headers["Retry-After"]
            assert client.get("/health").is_success

    def test_processes_share_one_budget(self, settings: Settings, tmp_path: Path) -> None:
        both = limited(settings, rate_limit_per_address=20)
        with ExitStack() as stack:
            clients = []
            for number in range(2):
                port = free_port()
                place = tmp_path / str(number)
                place.mkdir()
                stack.enter_context(api_process(both, port, place))
                until(partial(answers, port), "it serves")
                url = f"http://127.0.0.1:{port}"
                clients.append(stack.enter_context(httpx.Client(base_url=url, timeout=GUARD_SECONDS)))

            def in_one_minute() -> list[int] | None:
                """Send 60 requests; None if a new minute has begun meanwhile."""
                found = [clients[number % 2].get("/api/v1/environments") for number in range(60)]
                seconds = [int(one.headers["RateLimit"].rpartition("t=")[2]) for one in found]
                is_one = sorted(seconds, reverse=True) == seconds and found[0].is_success
                return [one.status_code for one in found] if is_one else None

            assert until(in_one_minute, "60 requests in one minute") == [200] * 20 + [429] * 40


class TestWhoCalls:
    """Through an API that asks who is asking."""

    @pytest.fixture
    def serve(self, settings: Settings, clock: Clock) -> Iterator[Callable[..., httpx.Client]]:
        with ExitStack() as stack:

            def start(**limits: Any) -> httpx.Client:
                app = create_app(limited(settings, auth_mode="required", **limits), clock=clock)
                return stack.enter_context(stack.enter_context(serving(app)).client())

            yield start

    def test_a_callers_keys_have_one_budget(
        self, serve: Callable[..., httpx.Client], sessions: Sessions, clock: Clock
    ) -> None:
        member = callers.member(sessions, Role.VIEWER)
        keys = [callers.key(sessions, member) for _ in range(2)]
        other = callers.caller(sessions, Role.VIEWER)
        client = serve(rate_limit_per_caller=3, rate_limit_per_address=100)

        found = [client.get(URL, headers=bearer(keys[number % 2])) for number in range(4)]

        assert [one.status_code for one in found] == [200, 200, 200, 429]
        assert found[0].headers["RateLimit-Policy"] == '"address";q=100;w=60, "caller";q=3;w=60'
        assert '"caller";r=0;t=' in found[3].headers["RateLimit"]
        assert problem(found[3], 429, "rate-limited")
        assert client.get(URL, headers=bearer(other)).is_success
        assert client.get("/health/ready", headers=bearer(keys[0])).is_success
        clock.now += int(found[3].headers["Retry-After"])
        assert client.get(URL, headers=bearer(keys[0])).is_success

    def test_a_request_counts_once(self, serve: Callable[..., httpx.Client], sessions: Sessions) -> None:
        client, text = serve(rate_limit_per_caller=10), callers.caller(sessions, Role.VIEWER)

        left = [client.get("/api/v1/whoami", headers=bearer(text)).headers["RateLimit"] for _ in range(3)]
        assert [one.split(";")[1] for one in left] == ["r=9", "r=8", "r=7"]

    def test_an_address_may_show_so_many_bad_keys(
        self, serve: Callable[..., httpx.Client], sessions: Sessions, clock: Clock
    ) -> None:
        good = callers.caller(sessions, Role.VIEWER)
        client = serve(rate_limit_failures_per_address=3)
        shown = [bearer(new().text), {}, {**bearer(good), "Beta9-Organization": "org_of_others"}] * 2

        found = [client.get(URL, headers=headers).status_code for headers in shown]

        assert found == [401, 401, 403, 429, 429, 429]
        blocked = client.get(URL, headers=bearer(good))
        assert problem(blocked, 429, "rate-limited")
        assert "valid key or token" in blocked.json()["detail"]
        clock.now += int(blocked.headers["Retry-After"])
        assert client.get(URL, headers=bearer(good)).is_success

    def test_probes_without_a_key_are_no_failures(
        self, serve: Callable[..., httpx.Client], sessions: Sessions
    ) -> None:
        good = callers.caller(sessions, Role.VIEWER)
        client = serve(rate_limit_failures_per_address=3)

        assert all(client.get("/health/ready").is_success for _ in range(5))
        assert client.get(URL, headers=bearer(good)).is_success

    def test_no_more_keys_are_looked_up_for_readiness_than_elsewhere(
        self, serve: Callable[..., httpx.Client], sessions: Sessions, clock: Clock
    ) -> None:
        good = callers.caller(sessions, Role.VIEWER)
        client = serve(rate_limit_failures_per_address=3)
        for _ in range(3):
            assert client.get("/health/ready", headers=bearer(new().text)).json()["checks"] == {}

        refused = client.get("/health/ready", headers=bearer(good))
        assert (refused.status_code, refused.json()["checks"]) == (200, {})
        assert client.get(URL, headers=bearer(good)).status_code == 429
        clock.now += 60
        assert client.get("/health/ready", headers=bearer(good)).json()["checks"]

    def test_the_token_of_metrics_is_guessed_as_seldom_as_keys(
        self, serve: Callable[..., httpx.Client], clock: Clock
    ) -> None:
        client = serve(rate_limit_failures_per_address=3, metrics_token="correct-horse")
        assert [client.get("/metrics").status_code for _ in range(5)] == [401] * 5

        guessed = [client.get("/metrics", headers=bearer(f"guess{n}")).status_code for n in range(4)]
        assert guessed == [401, 401, 401, 429]
        assert problem(client.get("/metrics", headers=bearer("correct-horse")), 429, "rate-limited")
        clock.now += 60
        assert client.get("/metrics", headers=bearer("correct-horse")).is_success

    def test_no_secret_goes_to_redis(
        self, serve: Callable[..., httpx.Client], sessions: Sessions, redis_url: str
    ) -> None:
        member = callers.member(sessions, Role.VIEWER)
        texts = callers.key(sessions, member), new().text
        client = serve(rate_limit_per_caller=9, rate_limit_per_address=9, rate_limit_failures_per_address=9)
        for text in texts:
            client.get(URL, headers=bearer(text))

        with redis.Redis.from_url(redis_url, decode_responses=True) as store:
            stored = sorted(store.scan_iter("provisioning:limits*"))
        kinds = ("address/127.0.0.1", f"caller/{member}", "failures/127.0.0.1")
        assert [any(kind in key for key in stored) for kind in kinds] == [True] * 3
        assert len(stored) == 3
        for text in texts:
            _, identifier, secret = text.split("_", 2)
            assert not any(identifier in key or secret in key for key in stored)

    def test_nobody_in_particular_is_no_caller(self, settings: Settings, clock: Clock) -> None:
        app = create_app(limited(settings, rate_limit_per_caller=1), clock=clock)
        with serving(app) as server, server.client() as client:
            assert [client.get(URL).status_code for _ in range(3)] == [200] * 3
