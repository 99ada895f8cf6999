import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse
from sqlalchemy import Engine, event, func
from tests.api.test_environments import problem
from tests.support import callers
from tests.support.callers import bearer
from tests.support.lives import claim, create, delete, walk
from tests.support.serving import serving
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.streams import READERS, StreamTimes
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.journal import NewEvent
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.schemas.environment import Environment, Event
from beta9_provisioning.settings import Settings

S = OperationStatus
TELEMETRY = "beta9_provisioning.api.telemetry"


def url(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.environment_id}/events"


@contextmanager
def stream(
    client: httpx.Client, environment: Environment, *, last: str | None = None, after: int | None = None
) -> Iterator[Iterator[ServerSentEvent]]:
    headers = {"Last-Event-ID": last} if last is not None else {}
    params = {"after": after} if after is not None else {}
    with connect_sse(client, "GET", url(environment), headers=headers, params=params) as source:
        source.response.raise_for_status()
        yield (message for message in source.iter_sse() if message.data)


@contextmanager
def raw(client: httpx.Client, environment: Environment) -> Iterator[Iterator[str]]:
    """Give the lines of a stream, pings included."""
    with client.stream("GET", url(environment), headers={"Accept": "text/event-stream"}) as response:
        yield response.iter_lines()


def finish(sessions: Sessions, environment: Environment) -> None:
    walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)


class TestHistory:
    def test_is_json_by_default(self, client: httpx.Client, sessions: Sessions, settings: Settings) -> None:
        environment = create(sessions, settings)
        page = client.get(url(environment), params={"limit": 1}).json()
        assert [item["type"] for item in page["items"]] == ["operation.queued"]
        rest = client.get(url(environment), params={"after": page["next_after"]}).json()
        assert [item["type"] for item in rest["items"]] == ["environment.status"]
        assert rest["next_after"] is None

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("after=-1", "query.after"),
            ("after=x", "query.after"),
            (f"after={2**63}", "query.after"),
            ("limit=0", "query.limit"),
            ("limit=1001", "query.limit"),
            ("since=1", "query.since"),
        ],
    )
    def test_bad_parameters(
        self, client: httpx.Client, sessions: Sessions, settings: Settings, query: str, field: str
    ) -> None:
        response = client.get(f"{url(create(sessions, settings))}?{query}")
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == field


class TestStream:
    def test_tells_the_history_then_what_happens_and_ends(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        with stream(client, environment) as messages:
            first = [next(messages), next(messages)]  # the stream is open, and the rest has not happened
            finish(sessions, environment)
            rest = list(messages)
        events = [Event.model_validate_json(message.data) for message in first + rest]
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        assert [(m.id, m.event) for m in first + rest] == [(str(e.id), e.type) for e in events]
        entered = [event.data["to"] for event in events if event.type == "environment.status"]
        assert entered == ["queued", "provisioning", "bootstrapping", "ready"]
        history = client.get(url(environment)).json()["items"]
        assert [event.model_dump(mode="json") for event in events] == history

    def test_ends_at_once_when_nothing_runs(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        finish(sessions, environment)
        with stream(client, environment) as messages:
            total = len(list(messages))
        with stream(client, environment, last=str(total)) as messages:
            assert list(messages) == []

    @pytest.mark.parametrize("by", ["header", "parameter", "both"])
    def test_resumes(self, client: httpx.Client, sessions: Sessions, settings: Settings, by: str) -> None:
        environment = create(sessions, settings)
        finish(sessions, environment)
        last = "3" if by != "parameter" else None
        after = {"header": None, "parameter": 3, "both": 1}[by]
        with stream(client, environment, last=last, after=after) as messages:
            assert next(messages).id == "4"

    def test_an_empty_last_event_id_means_none(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        finish(sessions, environment)
        with stream(client, environment, last="") as messages:
            assert next(messages).id == "1"
        with stream(client, environment, last="", after=3) as messages:
            assert next(messages).id == "4"

    @pytest.mark.parametrize("by", ["header", "parameter"])
    def test_after_a_restore_of_the_database_the_history_comes_anew(
        self, client: httpx.Client, sessions: Sessions, settings: Settings, by: str
    ) -> None:
        environment = create(sessions, settings)
        finish(sessions, environment)
        with stream(client, environment) as messages:
            whole = [message.id for message in messages]
        last, after = ("999", None) if by == "header" else (None, 999)
        with stream(client, environment, last=last, after=after) as messages:
            word, *rest = messages
        told = Event.model_validate_json(word.data)
        assert (word.id, told.id, told.type) == ("0", 0, "stream.restarted")
        assert told.data == {"after": 999, "last": len(whole)}
        assert [message.id for message in rest] == whole

    def test_stays_open_while_a_destroy_waits_behind_a_create(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        destroy = delete(sessions, environment.environment_id)
        with stream(client, environment) as messages:
            assert next(messages).id == "1"
            walk(sessions, destroy.operation.id, S.DESTROYING, S.SUCCEEDED)
            assert Event.model_validate_json(list(messages)[-1].data).data["to"] == "destroyed"

    def test_long_histories_come_whole_and_in_order(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        taken = walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING)
        with transaction(sessions) as session:
            news = [NewEvent("terraform.resource", f"Resource {n}.") for n in range(1200)]
            store.record(session, taken, news, None)
        delete(sessions, environment.environment_id)
        with stream(client, environment) as messages:
            numbers = [int(next(messages).id) for _ in range(1200)]
        assert numbers == list(range(1, 1201))

    def test_several_writers_leave_no_gap(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        taken = claim(sessions, environment.operation.id)

        def write(writer: int) -> None:
            for number in range(10):
                with transaction(sessions) as session:
                    store.record(session, taken, [NewEvent("step.started", f"{writer} {number}")], None)

        with stream(client, environment) as messages, ThreadPoolExecutor(4) as pool:
            done = [pool.submit(write, writer) for writer in range(4)]
            numbers = [int(next(messages).id) for _ in range(44)]
            for future in done:
                future.result()
        assert numbers == list(range(1, 45))

    @pytest.mark.parametrize("value", ["x", "-1", "1.5", "1" * 30, "٣"])
    def test_a_bad_last_event_id_is_refused(
        self, client: httpx.Client, sessions: Sessions, settings: Settings, value: str
    ) -> None:
        headers = {b"Accept": b"text/event-stream", b"Last-Event-ID": value.encode()}
        response = client.get(url(create(sessions, settings)), headers=headers)
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["errors"][0]["field"] == "header.Last-Event-ID"

    def test_unknown_environments_are_problems(self, client: httpx.Client) -> None:
        response = client.get(
            "/api/v1/environments/env_0123456789abcdef/events", headers={"Accept": "text/event-stream"}
        )
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"

    def test_pings_while_nothing_happens(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        headers = {"Accept": "text/event-stream"}
        with client.stream("GET", url(create(sessions, settings)), headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            assert ": ping" in (line for line in response.iter_lines())


class TestEnds:
    def test_a_clients_leaving_ends_the_reading(
        self, sessions: Sessions, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, TELEMETRY)
        # An application of its own, so that its database use can be watched.
        app = create_app(settings, stream_times=StreamTimes(poll=0.01, ping=60, life=600))
        engine: Engine = app.state.services.engine
        looks = [0]

        def look(*_: object) -> None:
            looks[0] += 1

        event.listen(engine, "before_cursor_execute", look)
        environment = create(sessions, settings)

        def has_ended() -> bool:
            """Whether the service has told that it is done with the request: it does so at its very end."""
            told = [record for record in caplog.records if record.name == TELEMETRY]
            return any(url(environment) in record.getMessage() for record in told)

        with serving(app) as server, server.client() as client:
            with stream(client, environment) as messages:
                next(messages)
                before = looks[0]
                until(lambda: looks[0] > before + 3, "the journal is looked at again and again")
                assert not has_ended()
            until(has_ended, "the request has ended")

    def test_streams_that_wait_for_the_same_share_one_look_at_the_journal(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        """Five hundred on one busy environment took most of a processor."""
        app = create_app(settings, stream_times=StreamTimes(poll=3600, ping=3600, life=7200))
        said: list[str] = []
        event.listen(app.state.services.engine, "before_cursor_execute", lambda *given: said.append(given[2]))
        environment = create(sessions, settings)

        def looks() -> int:
            return sum("last_event" in statement for statement in said)

        with serving(app) as server, server.client() as client, ExitStack() as streams:
            for _ in range(10):
                streams.enter_context(stream(client, environment, last="2"))
            until(lambda: len(said) - looks() >= 10 and looks(), "each has asked whose environment it is")
            assert looks() == 1

    def test_clients_that_leave_do_not_start_more_readers_than_there_are(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        """A read that was given up went on in its thread, and its place was given to another one."""
        settings = settings.model_copy(update={"max_environments_per_user": 100})
        app = create_app(settings, stream_times=StreamTimes(poll=0.01, ping=0.01, life=600))
        reading, most, lock, go = [0], [0], threading.Lock(), threading.Event()

        def hold(*given: Any) -> None:
            if "last_event" in given[2]:
                with lock:
                    reading[0] += 1
                    most[0] = max(most[0], reading[0])
                go.wait(GUARD_SECONDS)
                with lock:
                    reading[0] -= 1

        event.listen(app.state.services.engine, "before_cursor_execute", hold)
        made = [create(sessions, settings, name=f"n{number}") for number in range(READERS + 4)]
        try:
            with serving(app) as server, server.client() as client:
                for environment in made:
                    with stream(client, environment):
                        pass
                with ExitStack() as streams:
                    pings = [streams.enter_context(raw(client, environment)) for environment in made]
                    for lines in pings:  # each is pinged while its look has not ended
                        while not next(lines).startswith(":"):
                            pass
                    assert most[0] <= READERS
                    go.set()
        finally:
            go.set()

    def test_an_address_may_have_so_many_streams(self, sessions: Sessions, settings: Settings) -> None:
        app = create_app(settings.model_copy(update={"max_streams_per_address": 2}))
        environment = create(sessions, settings)
        with serving(app) as server, server.client() as client:
            with stream(client, environment) as first, stream(client, environment) as second:
                next(first)
                next(second)
                with connect_sse(client, "GET", url(environment)) as third:
                    third.response.read()
                    assert problem(third.response, 429, "too-many-streams")
                    assert int(third.response.headers["Retry-After"]) > 0

            def has_room() -> bool:
                with connect_sse(client, "GET", url(environment)) as again:
                    return again.response.status_code == 200

            until(has_room, "those that have ended count no more")

    def test_a_caller_may_have_so_many_streams(self, sessions: Sessions, settings: Settings) -> None:
        app = create_app(settings.model_copy(update={"max_streams_per_caller": 2, "auth_mode": "required"}))
        environment = create(sessions, settings)
        mine, others = (bearer(callers.caller(sessions, Role.VIEWER)) for _ in range(2))
        with serving(app) as server, ExitStack() as stack, server.client() as client:

            def follow(headers: dict[str, str]) -> httpx.Response:
                source = connect_sse(client, "GET", url(environment), headers=headers)
                return stack.enter_context(source).response

            assert [follow(mine).status_code for _ in range(2)] == [200, 200]
            third = follow(mine)
            third.read()
            assert "MAX_STREAMS_PER_CALLER" in problem(third, 429, "too-many-streams").detail
            assert follow(others).is_success

    def test_a_stream_ends_with_the_right_to_it(self, sessions: Sessions, settings: Settings) -> None:
        app = create_app(
            settings.model_copy(update={"auth_mode": "required"}),
            stream_times=StreamTimes(ping=0.05, life=GUARD_SECONDS),
        )
        environment = create(sessions, settings)
        key = callers.caller(sessions, Role.VIEWER)
        with (
            serving(app) as server,
            server.client() as client,
            connect_sse(client, "GET", url(environment), headers=bearer(key)) as source,
        ):
            lines = source.response.iter_lines()
            until(lambda: next(lines).startswith(":"), "it pings, and so was allowed to go on")
            callers.change_key(sessions, key, revoked_at=func.clock_timestamp())
            assert sum(1 for _ in lines) < 1000
            assert client.get(url(environment), headers=bearer(key)).status_code == 401

    def test_two_at_once_never_take_the_last_place(self, sessions: Sessions, settings: Settings) -> None:
        app = create_app(settings.model_copy(update={"max_streams_per_address": 3}))
        environment = create(sessions, settings)
        begun = threading.Barrier(12)
        with serving(app) as server, server.client() as client, ExitStack() as stack:

            def follow() -> int:
                begun.wait(GUARD_SECONDS)
                return stack.enter_context(connect_sse(client, "GET", url(environment))).response.status_code

            with ThreadPoolExecutor(12) as pool:
                found = [future.result() for future in [pool.submit(follow) for _ in range(12)]]
            assert sorted(found) == [200] * 3 + [429] * 9

    def test_a_life_is_limited(self, sessions: Sessions, settings: Settings) -> None:
        app = create_app(settings, stream_times=StreamTimes(poll=0.01, ping=3600, life=0.2))
        environment = create(sessions, settings)
        with serving(app) as server, server.client() as client, stream(client, environment) as messages:
            assert len(list(messages)) == 2  # the operation is still queued, so nothing else ends it

    def test_the_services_stop_ends_streams(self, sessions: Sessions, settings: Settings) -> None:
        app = create_app(settings, stream_times=StreamTimes(poll=3600, ping=3600, life=7200))
        environment = create(sessions, settings)
        with serving(app) as server, server.client() as client, stream(client, environment) as messages:
            next(messages)
            server.stop()  # would not return before the next look if that were what ends a stream
            assert len(list(messages)) == 1  # it ended in order: no error
