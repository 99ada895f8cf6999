"""Calls to a simulated cluster's API on good and bad days: busy, away, hanging, refusing, talkative."""

from __future__ import annotations

import base64
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest
from tests.support.http_servers import QuietHandler, answering_with
from tests.support.proxy import proxy_to
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.kubernetes import api as kubernetes_api
from beta9_provisioning.engine.kubernetes import patience
from beta9_provisioning.engine.kubernetes.api import Answer, ClusterError, KubernetesApi
from beta9_provisioning.engine.kubernetes.kubernetes import Kubernetes
from beta9_provisioning.engine.kubernetes.patience import Patience
from beta9_simulator.cluster.behaviour import HttpFault
from beta9_simulator.cluster.certificates import server_context
from beta9_simulator.cluster.directory import User

if TYPE_CHECKING:
    from tests.engine.conftest import Access

NODES = "/api/v1/nodes"
SECRET = "correct-horse-battery"


def api(
    access: Access, *, endpoint: str | None = None, token: Callable[[], str] | None = None
) -> KubernetesApi:
    made = KubernetesApi(access.cluster_access(endpoint=endpoint, token=token), access.stop)
    access.resources.callback(made.close)
    return made


class Tries(Patience):
    """Patience for so many tries and not for any time; `waits` has how long it was asked to wait at least."""

    def __init__(self, count: int) -> None:
        super().__init__(3600, threading.Event())
        self._count = count
        self.waits: list[float] = []

    def wait(self, at_least: float = 0.0) -> bool:
        self.waits.append(at_least)
        return len(self.waits) < self._count


class WaitedFor(threading.Event):
    """A stop event that remembers for how long it was waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


@contextmanager
def answering(respond: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Iterator[str]:
    """Run a plain HTTP server that answers as told, and give its URL."""

    class Handler(QuietHandler):
        def _answer(self) -> None:
            respond(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

    with answering_with(Handler) as url:
        yield url


def saying(status: int, body: bytes, kind: str = "application/json") -> Callable[..., None]:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@pytest.mark.parametrize(
    "fault",
    [
        HttpFault(status=429, times=2),
        HttpFault(status=500, times=2),
        HttpFault(status=503, times=2),
        HttpFault(status=401, times=2),
        HttpFault(drop=True, times=2),
    ],
    ids=["429", "500", "503", "not-known-yet", "dropped"],
)
def test_bears_with_what_passes(access: Access, fault: HttpFault) -> None:
    access.kube.server.inject(fault)
    answer = api(access).call("GET", NODES)
    assert len(answer.document["items"]) == 2
    assert fault.times == 0


def test_waits_as_long_as_a_busy_api_asks(access: Access) -> None:
    access.kube.server.inject(HttpFault(status=429, retry_after=7))
    tries = Tries(2)
    assert api(access).call("GET", NODES, patience=tries).ok
    assert tries.waits == [7]


def test_does_not_wait_beyond_its_patience_when_asked_to(access: Access) -> None:
    access.kube.server.inject(HttpFault(status=429, retry_after=3600))
    clock = WaitedFor()
    with pytest.raises(ClusterError) as caught:
        api(access).call("GET", NODES, patience=Patience(60, clock))
    assert caught.value.code == "cluster_unreachable"
    assert caught.value.detail == "GET /api/v1/nodes: HTTP 429: injected fault"
    assert clock.seconds == []


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_refusal_is_an_error_at_once(access: Access, status: int) -> None:
    fault = HttpFault(status=status, times=2)
    access.kube.server.inject(fault)
    with pytest.raises(ClusterError) as caught:
        api(access).call("GET", NODES)
    assert caught.value.code == "cluster_failed"
    assert f"HTTP {status}: injected fault" in caught.value.detail
    assert caught.value.remedy
    assert fault.times == 1  # it was asked once


def test_an_expected_refusal_is_an_answer(access: Access) -> None:
    path = "/api/v1/namespaces/default/secrets/absent"
    answer = api(access).call("GET", path, expected="NotFound")
    assert (answer.ok, answer.status, answer.reason) == (False, 404, "NotFound")
    with pytest.raises(ClusterError):
        api(access).call("GET", path, expected="AlreadyExists")


def test_away_and_back(access: Access) -> None:
    with proxy_to(access.kube.endpoint) as proxy:
        client = api(access, endpoint=proxy.url)
        assert client.call("GET", NODES).ok
        proxy.cut(refusing=2)
        assert client.call("GET", NODES).ok
        assert proxy.refused == 2


def test_away_for_good(access: Access) -> None:
    access.kube.server.stop()
    tries = Tries(3)
    with pytest.raises(ClusterError) as caught:
        api(access).call("GET", NODES, patience=tries)
    assert caught.value.code == "cluster_unreachable"
    assert "refused" in caught.value.detail
    assert len(tries.waits) == 3


def test_an_unknown_host(access: Access) -> None:
    client = api(access, endpoint="https://nowhere.invalid")
    with pytest.raises(ClusterError) as caught:
        client.call("GET", NODES, patience=Tries(2))
    assert caught.value.code == "cluster_unreachable"


def test_a_token_that_stays_refused(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "REFUSAL_SECONDS", 0.5)
    with pytest.raises(ClusterError) as caught:
        api(access, token=lambda: "wrong").call("GET", NODES)
    assert caught.value.code == "cluster_unauthorized"
    assert "access entry" in caught.value.remedy
    assert "wrong" not in caught.value.detail


def test_a_token_is_signed_again_before_it_expires(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster accepts nothing but the token that was signed last, on a connection that stays."""
    signed: list[str] = []
    numbers = itertools.count()

    def sign() -> str:
        signed.append(f"token-{next(numbers)}")
        return signed[-1]

    monkeypatch.setattr(
        access.kube.directory,
        "authenticate",
        lambda _, token: User("tester") if token == signed[-1] else None,
    )
    client = api(access, token=sign)
    assert all(client.call("GET", NODES).ok for _ in range(3))
    assert len(signed) == 3


def test_connections_are_kept(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[object] = []
    connect = socket.create_connection

    def counted(*arguments: object, **options: object) -> socket.socket:
        connections.append(arguments)
        return connect(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", counted)
    client = api(access)
    assert all(client.call("GET", NODES).ok for _ in range(5))
    assert len(connections) == 1


def test_threads_share_it(access: Access) -> None:
    """Two calls are under way at once, for none is answered before the other has come."""
    both = threading.Barrier(2)

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        both.wait(GUARD_SECONDS)
        saying(200, b"{}")(handler, body)

    with answering(respond) as url, ThreadPoolExecutor(2) as pool:
        client = api(access, endpoint=url)
        calls = [pool.submit(client.call, "GET", NODES, patience=Tries(1)) for _ in range(2)]
        assert all(call.result().ok for call in calls)


def test_a_secret_that_several_threads_create_is_the_same_for_all(access: Access) -> None:
    kubernetes = access.kubernetes()
    with ThreadPoolExecutor(8) as pool:
        makers = [
            pool.submit(kubernetes.secret_once, "default", f"s{n % 4}", {"n": str(n)}) for n in range(32)
        ]
        found = [maker.result()["n"] for maker in makers]
    for number, kept in enumerate(found):
        assert kept == found[number % 4]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "CONNECT_SECONDS", 0.4)
    monkeypatch.setattr(kubernetes_api, "SILENCE_SECONDS", 0.4)


@contextmanager
def mute(on_connection: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Give the URL of somebody who takes connections and says nothing."""
    with ExitStack() as taken, socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with suppress(OSError):  # it was shut
                while True:
                    taken.enter_context(listener.accept()[0])
                    on_connection()

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.usefixtures("impatient")
def test_an_api_that_takes_connections_and_never_answers(access: Access) -> None:
    with mute() as url:
        client = api(access, endpoint=url)
        with pytest.raises(ClusterError) as caught:
            client.call("GET", NODES, patience=Tries(2))
    assert caught.value.code == "cluster_unreachable"
    assert "timed out" in caught.value.detail


@pytest.mark.usefixtures("impatient")
def test_stop_is_noticed_while_the_api_hangs(access: Access) -> None:
    connections: list[None] = []

    def stop() -> None:
        connections.append(None)
        access.stop.set()

    with mute(stop) as url, pytest.raises(Stopped):
        api(access, endpoint=url).call("GET", NODES)
    assert len(connections) == 1


@pytest.mark.usefixtures("impatient")
def test_a_call_that_hangs_is_repeated(access: Access) -> None:
    fault = HttpFault(delay=3600)
    access.kube.server.inject(fault)
    assert api(access).call("GET", NODES).ok
    assert fault.times == 0


def endless(while_it_comes: Callable[[], None] = lambda: None) -> Callable[..., None]:
    """Send an answer that comes byte by byte, for as long as somebody listens."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" ")
                time.sleep(0.05)
                while_it_comes()
        except OSError:
            handler.close_connection = True

    return respond


def test_an_answer_without_end_is_bounded(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "ANSWER_SECONDS", 0.5)
    with answering(endless()) as url:
        client = api(access, endpoint=url)
        with pytest.raises(ClusterError, match="could not be reached") as caught:
            client.call("GET", NODES, patience=Tries(1))
        assert "not complete" in caught.value.detail


def test_stop_is_noticed_in_an_answer_without_end(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "ANSWER_SECONDS", 3600.0)
    with answering(endless(access.stop.set)) as url, pytest.raises(Stopped):
        api(access, endpoint=url).call("GET", NODES)


def test_nothing_is_sent_after_stop(access: Access) -> None:
    access.stop.set()
    with pytest.raises(Stopped):
        access.kubernetes().ensure_namespace("late")
    assert "late" not in access.kube.objects("Namespace")


def test_another_authoritys_certificate_is_refused_at_once(access: Access) -> None:
    other, _ = server_context("127.0.0.1")
    known = access.cluster_access()
    stranger = replace(known, certificate_authority=base64.b64encode(other.encode()).decode())
    client = KubernetesApi(stranger, access.stop)
    access.resources.callback(client.close)
    tries = Tries(5)
    with pytest.raises(ClusterError) as caught:
        client.call("GET", NODES, patience=tries)
    assert caught.value.code == "certificate_untrusted"
    assert "certificate verify failed" in caught.value.detail
    assert "NO_PROXY" in caught.value.remedy
    assert tries.waits == []


@pytest.mark.parametrize(
    ("status", "code"), [(200, "cluster_failed"), (404, "cluster_failed"), (502, "cluster_unreachable")]
)
def test_somebody_else_answers(access: Access, status: int, code: str) -> None:
    with answering(saying(status, b"<html>Sign in</html>", "text/html")) as url:
        client = api(access, endpoint=url)
        with pytest.raises(ClusterError) as caught:
            client.call("GET", NODES, patience=Tries(2), expected="NotFound")
    assert caught.value.code == code
    assert caught.value.detail == f"GET /api/v1/nodes: HTTP {status}, without a JSON document."


def test_secrets_are_not_repeated(access: Access, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by an API that quotes what it refuses, nor by any log, however detailed."""
    caplog.set_level(logging.DEBUG)
    encoded = base64.b64encode(SECRET.encode()).decode()

    def quote(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        assert encoded in body.decode()
        message = body.decode().replace('"', "'")
        text = f'{{"kind": "Status", "reason": "Invalid", "message": "bad: {message} {SECRET}"}}'
        saying(422, text.encode())(handler, body)

    with answering(quote) as url:
        kubernetes = Kubernetes(
            access.cluster_access(endpoint=url, token=lambda: "very-secret-token"), access.stop
        )
        access.resources.callback(kubernetes.close)
        with pytest.raises(ClusterError) as caught:
            kubernetes.secret_once("default", "mine", {"password": SECRET})
    error = caught.value
    assert error.detail == "POST /api/v1/namespaces/default/secrets: HTTP 422 Invalid"
    assert "/api/v1/namespaces/default/secrets" in caplog.text  # something was logged
    shown = f"{error.message} {error.detail} {error.remedy} {error!r} {caplog.text}"
    for secret in (SECRET, encoded, "very-secret-token"):
        assert secret not in shown


def test_an_answers_content_is_not_in_its_repr() -> None:
    assert SECRET not in repr(Answer(200, {"data": SECRET}, SECRET))
