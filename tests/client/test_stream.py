"""Watching: the stream is resumed after every kind of break, and ends when the operation has ended."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from tests.client import fake_api
from tests.client.fake_api import (
    BASE,
    ENVIRONMENT_ID,
    FINISHED,
    FakeApi,
    answer_json,
    body,
    event,
    problem,
    stream,
)

from beta9_provisioning.client import ApiProblem, Client, Unreachable

ONE = f"{BASE}/{ENVIRONMENT_ID}"
EVENTS = f"{ONE}/events"
RUNNING = answer_json(fake_api.environment())
DONE = answer_json(fake_api.environment(operation=FINISHED, status="ready"))
NO_MORE = answer_json({"items": [], "next_after": None})


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api.serving() as running:
        yield running


@pytest.fixture
def client(fake: FakeApi) -> Iterator[Client]:
    with Client(fake.url) as made:
        yield made


def _asked_after(fake: FakeApi) -> list[str | None]:
    asked = fake.requests("GET", EVENTS)
    return [item.headers.get("last-event-id") for item in asked if "event-stream" in item.headers["accept"]]


def test_events_come_in_order_until_the_operation_ends(fake: FakeApi, client: Client) -> None:
    fake.on("GET", EVENTS, stream(event(1), event(2, type="something.new", message="New.")), NO_MORE)
    fake.on("GET", ONE, DONE)
    seen = list(client.watch(ENVIRONMENT_ID))
    assert [(item.id, item.type) for item in seen] == [(1, "step.started"), (2, "something.new")]
    assert _asked_after(fake) == [None]


def test_a_cut_connection_is_resumed_without_loss_or_repetition(fake: FakeApi, client: Client) -> None:
    fake.on("GET", EVENTS, stream(event(1), event(2), then="cut"), stream(event(2), event(3)), NO_MORE)
    fake.on("GET", ONE, DONE)
    assert [item.id for item in client.watch(ENVIRONMENT_ID)] == [1, 2, 3]
    assert _asked_after(fake) == [None, "2"]


def test_a_stream_of_capped_life_is_taken_up_again(fake: FakeApi, client: Client) -> None:
    fake.on("GET", EVENTS, stream(event(1)), stream(event(2)), NO_MORE)
    fake.on("GET", ONE, RUNNING, DONE)
    assert [item.id for item in client.watch(ENVIRONMENT_ID)] == [1, 2]
    assert _asked_after(fake) == [None, "1"]


def test_a_history_that_starts_over_is_followed_from_its_beginning(fake: FakeApi, client: Client) -> None:
    restarted = event(0, type="stream.restarted", message="It starts over.")
    fake.on(
        "GET",
        EVENTS,
        stream(event(8), then="cut"),
        stream(restarted, event(1), then="cut"),
        stream(),
        NO_MORE,
    )
    fake.on("GET", ONE, DONE)
    assert [item.id for item in client.watch(ENVIRONMENT_ID, after=7)] == [8, 0, 1]
    assert _asked_after(fake) == ["7", "8", "1"]


def test_watching_can_begin_in_the_middle(fake: FakeApi, client: Client) -> None:
    fake.on("GET", EVENTS, stream(event(8)), NO_MORE)
    fake.on("GET", ONE, DONE)
    assert [item.id for item in client.watch(ENVIRONMENT_ID, after=7)] == [8]
    assert _asked_after(fake) == ["7"]


def test_events_after_the_close_are_not_lost(fake: FakeApi, client: Client) -> None:
    late = answer_json({"items": [event(2), event(3)], "next_after": None})
    fake.on("GET", EVENTS, stream(event(1)), late)
    fake.on("GET", ONE, DONE)
    assert [item.id for item in client.watch(ENVIRONMENT_ID)] == [1, 2, 3]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_service_that_asks_for_patience_gets_it(fake: FakeApi, client: Client, status: int) -> None:
    fake.on("GET", EVENTS, problem(status, "Later", "Not now."), stream(event(1)), stream(), NO_MORE)
    fake.on("GET", ONE, problem(status, "Later", "Not now."), DONE)
    assert [item.id for item in client.watch(ENVIRONMENT_ID)] == [1]


def test_an_address_with_too_many_streams_is_told_so_and_not_that_there_is_no_service(
    fake: FakeApi, client: Client
) -> None:
    refusal = {
        "type": "urn:beta9-provisioning:problem:too-many-streams",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Your address has as many event streams as one may have here.",
        "errors": [],
    }
    fake.on("GET", EVENTS, answer_json(refusal, 429))
    with pytest.raises(ApiProblem, match="as many event streams"):
        list(client.watch(ENVIRONMENT_ID))
    assert len(fake.received) == 1


def test_an_unknown_environment_is_no_reason_to_wait(fake: FakeApi, client: Client) -> None:
    fake.on("GET", EVENTS, problem(404, "Not Found", "There is no such environment."))
    with pytest.raises(ApiProblem, match="no such environment"):
        list(client.watch(ENVIRONMENT_ID))
    assert len(fake.received) == 1


def test_a_restart_of_the_service_is_survived() -> None:
    fake = FakeApi()
    fake.on("GET", EVENTS, stream(event(1)), stream(event(2)), NO_MORE)
    fake.on("GET", ONE, DONE)
    second_life = ExitStack()
    with fake_api.listening(fake):
        client = Client(fake.url)
        watching = client.watch(ENVIRONMENT_ID)
        seen = [next(watching).id]
    port = urlsplit(fake.url).port or 0
    tries = itertools.count(1)

    def come_back(_: httpx.Request) -> None:
        if next(tries) == 3:  # two were refused
            second_life.enter_context(fake_api.listening(fake, port))

    client._transport.http.event_hooks = {"request": [come_back]}
    with client, second_life:
        seen += [item.id for item in watching]
    assert seen == [1, 2]
    assert _asked_after(fake) == [None, "1"]


def test_patience_ends(fake: FakeApi, client: Client) -> None:
    fake.on("GET", EVENTS, problem(503, "Later", "Not now."))
    with pytest.raises(Unreachable, match="answered 503"):
        list(client.watch(ENVIRONMENT_ID, patience=0.3))
    assert len(fake.received) >= 2


def test_what_is_no_event_stream_is_refused(fake: FakeApi, client: Client) -> None:
    fake.on("GET", EVENTS, body(200, "<html>hello</html>", "text/html"))
    with pytest.raises(Unreachable, match="not an event stream"):
        list(client.watch(ENVIRONMENT_ID))
