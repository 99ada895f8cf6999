"""Clients that take their time on purpose, by real sockets; honest ones are served meanwhile."""

import asyncio
import json
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from tests.support.serving import Serving, answers, api_process, serving
from tests.support.waiting import GUARD_SECONDS, until
from uvicorn.server import ServerState

from beta9_provisioning.api import bounds
from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.bounds import Limits
from beta9_provisioning.api.connections import protocol
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.settings import Settings

NEVER = 3600.0
HALF_HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Half: "
LIST = "/api/v1/environments"
# What is complete with one byte more, and then no configuration.
HALF_BODY = f"POST {LIST} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{".encode()
# Answered before its body has come.
LEFT_BODY = b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(autouse=True)
def many_files() -> None:
    bounds.of_process(2 * 1000)


@contextmanager
def limited(settings: Settings, limits: Limits, *, requests: Limits | None = None) -> Iterator[Serving]:
    """Serve with these limits; with `requests` the application has others than the server."""
    with serving(create_app(settings, limits=requests or limits), limits) as server:
        yield server


@contextmanager
def clients(port: int, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Give connections on which so much was sent."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), GUARD_SECONDS))
            one.sendall(sent)
            opened.append(one)
        yield opened


def received(client: socket.socket) -> bytes:
    """Return all that comes until the server ends the connection."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        return b"".join(parts)  # it ended with bytes of ours unread
    return b"".join(parts)


def answer(client: socket.socket) -> bytes:
    """Return the next answer, whose body is shorter than 64 KiB."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += client.recv(length - len(body))
    return head + body


def is_open(client: socket.socket) -> bool:
    return not select.select([client], [], [], 0)[0]


def check_problem(told: bytes, status: int, slug: str) -> None:
    head, _, body = told.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} ")
    assert {
        "content-type: application/problem+json",
        "connection: close",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    } <= set(lines)
    assert json.loads(body)["type"] == f"urn:beta9-provisioning:problem:{slug}"
    assert json.loads(body)["status"] == status


def drip(opened: Sequence[socket.socket], byte: bytes) -> None:
    """Send a byte on each connection, again and again, until the server has ended all of them."""
    alive = set(opened)

    def sent_to_all() -> bool:
        for one in tuple(alive):
            try:
                one.send(byte)
            except OSError:
                alive.discard(one)
        return not alive

    until(sent_to_all, "no connection is left", every=0.05)


class TestTime:
    def test_900_half_sent_headers_are_told_and_end(self, settings: Settings) -> None:
        with limited(settings, Limits(head_seconds=1)) as server:
            with clients(server.port, 900, HALF_HEAD) as opened:
                until(lambda: answers(server.port), "an honest client is answered meanwhile")
                for one in opened:
                    check_problem(received(one), 408, "request-timeout")
            assert answers(server.port)

    def test_300_half_sent_bodies_are_told_and_end(self, settings: Settings) -> None:
        with limited(settings, Limits(body_seconds=1)) as server:
            with clients(server.port, 300, HALF_BODY) as opened:
                assert answers(server.port)
                for one in opened:
                    check_problem(received(one), 408, "request-timeout")
            assert answers(server.port)

    def test_connections_that_send_nothing_end_without_a_word(self, settings: Settings) -> None:
        with limited(settings, Limits(head_seconds=1)) as server, clients(server.port, 900, b"") as opened:
            assert {received(one) for one in opened} == {b""}

    @pytest.mark.parametrize("begun", [HALF_HEAD, HALF_BODY[:-1], LEFT_BODY, HALF_HEAD[:1]])
    def test_a_byte_now_and_then_holds_no_connection(self, settings: Settings, begun: bytes) -> None:
        limits = Limits(head_seconds=1, body_seconds=1)
        with limited(settings, limits) as server, clients(server.port, 50, begun) as opened:
            drip(opened, b" ")
            assert answers(server.port)

    def test_a_further_request_in_drops_ends_too(self, settings: Settings) -> None:
        whole = HALF_HEAD + b"1\r\n\r\n"
        limits = Limits(head_seconds=1)
        with limited(settings, limits) as server, clients(server.port, 20, whole) as opened:
            assert {answer(one).split(b" ", 2)[1] for one in opened} == {b"200"}
            drip(opened, b"G")

    def test_a_slow_upload_that_makes_progress_is_taken(self, settings: Settings) -> None:
        limits = Limits(body_seconds=1, rate=1)  # a byte gives a second
        body = b"{" + b" " * 600 + b"}"
        head = HALF_BODY.replace(b"Content-Length: 2", f"Content-Length: {len(body)}".encode())
        with limited(settings, limits) as server, clients(server.port, 1, head + body[1:-1]) as (honest,):
            with clients(server.port, 1, HALF_BODY[:-1]) as (other,):
                check_problem(received(other), 408, "request-timeout")  # so time is over for both
            honest.sendall(body[-1:])
            assert answer(honest).startswith(b"HTTP/1.1 422 ")

    def test_who_does_not_read_the_answer_loses_it(self, settings: Settings) -> None:
        request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with limited(settings, Limits(answer_seconds=1)) as server:
            with clients(server.port, 3, request * 1000) as opened:
                until(lambda: server.connections == len(opened), "all are taken")
                until(lambda: not server.connections, "all are ended")
            assert answers(server.port)


class TestSize:
    HUGE = (
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Huge: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: 1\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )

    @pytest.mark.parametrize(
        "head", [*(head[: 17 * 1024] for head in HUGE), b"\x16\x03\x01 is no HTTP\r\n\r\n"]
    )
    def test_headers_that_are_too_large_or_none_are_refused(self, api: Serving, head: bytes) -> None:
        with clients(api.port, 1, head) as (one,):
            check_problem(received(one), 400, "malformed-request")
        assert answers(api.port)

    @pytest.mark.parametrize("head", HUGE)
    def test_huge_headers_that_come_at_once_end_the_connection(self, api: Serving, head: bytes) -> None:
        with clients(api.port, 1, b"") as (one,):
            with suppress(OSError):  # it may end before all is sent
                one.sendall(head)
            # Of the answer a part may be lost, for what was sent was not read.
            assert b"HTTP/1.1 400 Bad Request".startswith(received(one)[:24])
        assert answers(api.port)

    def test_a_body_that_breaks_off_its_encoding_is_refused(self, api: Serving) -> None:
        head = f"POST {LIST} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".encode()
        with clients(api.port, 1, head) as (one,):
            check_problem(received(one), 400, "malformed-request")
        assert answers(api.port)


class TestNumber:
    LIMITS = Limits(connections=20, head_seconds=NEVER, body_seconds=NEVER, answer_seconds=NEVER)

    @pytest.mark.parametrize("sent", [b"", HALF_HEAD])
    def test_new_ones_take_the_place_of_those_that_wait_longest(
        self, settings: Settings, sent: bytes
    ) -> None:
        with (
            limited(settings, self.LIMITS) as server,
            clients(server.port, 3, HALF_BODY) as working,
            clients(server.port, 100, sent) as attackers,
        ):
            assert answers(server.port)
            assert {received(one) for one in attackers[:83]} == {b""}
            assert all(is_open(one) for one in attackers[-10:])
            for one in working:  # they go on
                one.sendall(b"}")
                assert answer(one).startswith(b"HTTP/1.1 422 ")

    def test_too_many_requests_are_refused_and_probes_are_not(self, settings: Settings) -> None:
        with limited(settings, self.LIMITS) as server, server.client() as client:
            with clients(server.port, 18, HALF_BODY) as opened:
                (refused,) = until(lambda: self._busy(client), "all requests are worked on")
                assert refused.headers["retry-after"] == "5"
                assert refused.json()["type"] == "urn:beta9-provisioning:problem:busy"
                assert client.get("/health").status_code == 200
                assert client.get("/health/ready").status_code == 200
                assert client.get("/metrics").status_code == 200
                for one in opened:
                    one.sendall(b"}")
                    assert answer(one).startswith(b"HTTP/1.1 422 ")
            assert client.get(LIST).status_code == 200

    def _busy(self, client: httpx.Client) -> list[httpx.Response]:
        response = client.get(LIST)
        return [response] if response.status_code == 503 else []

    def test_a_new_one_ends_at_once_when_all_work(self, settings: Settings) -> None:
        server_limits = Limits(connections=5, head_seconds=NEVER, body_seconds=NEVER)
        with (
            limited(settings, server_limits, requests=Limits(body_seconds=NEVER)) as server,
            clients(server.port, 5, HALF_BODY) as opened,
        ):
            until(lambda: not answers(server.port), "all connections work")
            with clients(server.port, 1, b"") as (late,):
                assert received(late) == b""
            opened[0].sendall(b"}")
            assert answer(opened[0]).startswith(b"HTTP/1.1 422 ")
            assert answers(server.port)  # in the place of the one that waits now

    def test_a_process_that_may_open_few_files_takes_fewer(self, settings: Settings, tmp_path: Path) -> None:
        port = free_port()
        shell = ("sh", "-c", 'ulimit -n 150; exec "$@"', "sh")
        with api_process(settings, port, tmp_path, shell):
            until(lambda: answers(port), "the service answers")
            with clients(port, 200, HALF_HEAD) as opened:
                assert answers(port)
                assert received(opened[0]) == b""
        log = (tmp_path / "log").read_text()
        assert '"event": "few_open_files"' in log
        assert '"event": "connections_full"' in log
        assert "Traceback" not in log


class TestHonest:
    def test_requests_that_come_together_are_answered_in_order(self, api: Serving) -> None:
        missing = b"GET /made/up HTTP/1.1\r\nHost: localhost\r\n\r\n"
        whole = HALF_HEAD + b"1\r\n\r\n"
        with clients(api.port, 1, whole + missing + whole[:20]) as (one,):
            assert answer(one).startswith(b"HTTP/1.1 200 ")
            assert answer(one).startswith(b"HTTP/1.1 404 ")
            one.sendall(whole[20:])
            assert answer(one).startswith(b"HTTP/1.1 200 ")

    def test_a_stop_does_not_wait_for_those_who_wait(self, settings: Settings) -> None:
        limits = Limits(head_seconds=NEVER)
        with (
            limited(settings, limits) as server,
            clients(server.port, 50, HALF_HEAD) as half,
            clients(server.port, 50, b"") as silent,
        ):
            until(lambda: answers(server.port), "the service answers")
            server.stop()
            assert {received(one) for one in [*half, *silent]} == {b""}


class TestReading:
    """A connection with a transport and a clock of the test's: how much of an answer is read when."""

    class Clock(asyncio.SelectorEventLoop):
        """Calls what is due when it is told to."""

        def call_later(  # type: ignore[override]
            self, delay: float, callback: Any, *args: Any, context: Any = None
        ) -> Any:
            self.due = super().call_later(NEVER, callback, *args)
            return self.due

        def pass_time(self) -> None:
            self.due._run()

    class Transport(asyncio.Transport):
        """Holds bytes that nobody has read."""

        def __init__(self) -> None:
            super().__init__()
            self.unread, self.aborted = 0, False

        def get_write_buffer_size(self) -> int:
            return self.unread

        def abort(self) -> None:
            self.aborted = True

    def test_an_answer_may_take_long_as_long_as_it_is_read(self) -> None:
        limits = Limits(answer_seconds=10, rate=1000)
        clock, transport = self.Clock(), self.Transport()
        try:
            connection = protocol(limits)(
                config=uvicorn.Config(FastAPI()), server_state=ServerState(), app_state={}, _loop=clock
            )
            connection.connection_made(transport)
            transport.unread = 100_000
            connection.pause_writing()
            for _ in range(5):
                transport.unread -= 10_000
                clock.pass_time()
            assert not transport.aborted
            transport.unread -= 9_999
            clock.pass_time()
            assert transport.aborted
        finally:
            clock.close()
