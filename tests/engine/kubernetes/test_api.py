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
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from tests.worker.proxy import proxy_to

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.kubernetes import api as kubernetes_api
from beta9_provisioning.engine.kubernetes import patience
from beta9_provisioning.engine.kubernetes.api import Answer, ClusterError, KubernetesApi
from beta9_provisioning.engine.kubernetes.kubernetes import Kubernetes
from beta9_simulator.cluster.behaviour import HttpFault
from beta9_simulator.cluster.certificates import server_context

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


@contextmanager
def answering(respond: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Iterator[str]:
    """Run a plain HTTP server that answers as told, and give its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            respond(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
    access.kube.server.inject(HttpFault(status=429, retry_after=1))
    start = time.monotonic()
    assert api(access).call("GET", NODES).ok
    assert time.monotonic() - start >= 1


def test_does_not_wait_beyond_its_patience_when_asked_to(access: Access) -> None:
    access.kube.server.inject(HttpFault(status=429, retry_after=3600))
    start = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        api(access).call("GET", NODES)
    assert caught.value.code == "cluster_unreachable"
    assert caught.value.detail == "GET /api/v1/nodes: HTTP 429: injected fault"
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_refusal_is_an_error_at_once(access: Access, status: int) -> None:
    access.kube.server.inject(HttpFault(status=status))
    start = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        api(access).call("GET", NODES)
    assert caught.value.code == "cluster_failed"
    assert f"HTTP {status}: injected fault" in caught.value.detail
    assert caught.value.remedy
    assert time.monotonic() - start < 5


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
        proxy.cut()
        timer = threading.Timer(0.6, proxy.heal)
        timer.start()
        assert client.call("GET", NODES).ok
        assert proxy.refused > 0
        timer.join()


def test_away_for_good(access: Access) -> None:
    access.kube.server.stop()
    client = api(access)
    start = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        client.call("GET", NODES, patience=client.patience(1.5))
    assert caught.value.code == "cluster_unreachable"
    assert "refused" in caught.value.detail
    assert 0.1 <= time.monotonic() - start < 5


def test_an_unknown_host(access: Access) -> None:
    client = api(access, endpoint="https://nowhere.invalid")
    with pytest.raises(ClusterError) as caught:
        client.call("GET", NODES, patience=client.patience(0.5))
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
        lambda _, token: "tester" if token == signed[-1] else None,
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
    """Two calls are under way at once: neither waits for the other."""
    access.kube.server.inject(HttpFault(delay=0.5, path="nodes", times=2))
    client = api(access)
    start = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(client.call, "GET", NODES) for _ in range(2)]
        assert all(call.result().ok for call in calls)
    assert time.monotonic() - start < 0.95

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
def mute() -> Iterator[str]:
    """Give the URL of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.usefixtures("impatient")
def test_an_api_that_takes_connections_and_never_answers(access: Access) -> None:
    with mute() as url:
        client = api(access, endpoint=url)
        start = time.monotonic()
        with pytest.raises(ClusterError) as caught:
            client.call("GET", NODES, patience=client.patience(1))
    assert caught.value.code == "cluster_unreachable"
    assert "timed out" in caught.value.detail
    assert time.monotonic() - start < 5


@pytest.mark.usefixtures("impatient")
def test_stop_is_noticed_while_the_api_hangs(access: Access) -> None:
    with mute() as url:
        client = api(access, endpoint=url)
        timer = threading.Timer(0.2, access.stop.set)
        timer.start()
        start = time.monotonic()
        with pytest.raises(Stopped):
            client.call("GET", NODES)
        assert time.monotonic() - start < 3
        timer.join()


@pytest.mark.usefixtures("impatient")
def test_a_call_that_hangs_is_repeated(access: Access) -> None:
    fault = HttpFault(delay=60)
    access.kube.server.inject(fault)
    start = time.monotonic()
    assert api(access).call("GET", NODES).ok
    assert fault.times == 0
    assert 0.4 <= time.monotonic() - start < 10


def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Send an answer that comes byte by byte, for as long as somebody listens."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True


def test_an_answer_without_end_is_bounded(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "ANSWER_SECONDS", 0.5)
    with answering(endless) as url:
        client = api(access, endpoint=url)
        start = time.monotonic()
        with pytest.raises(ClusterError, match="could not be reached") as caught:
            client.call("GET", NODES, patience=client.patience(0.6))
        assert "not complete" in caught.value.detail
        assert time.monotonic() - start < 5


def test_stop_is_noticed_in_an_answer_without_end(access: Access) -> None:
    with answering(endless) as url:
        timer = threading.Timer(0.3, access.stop.set)
        timer.start()
        start = time.monotonic()
        with pytest.raises(Stopped):
            api(access, endpoint=url).call("GET", NODES)
        assert time.monotonic() - start < 3
        timer.join()


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
    start = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        client.call("GET", NODES)
    assert caught.value.code == "cluster_failed"
    assert "certificate verify failed" in caught.value.detail
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("status", "code"), [(200, "cluster_failed"), (404, "cluster_failed"), (502, "cluster_unreachable")]
)
def test_somebody_else_answers(access: Access, status: int, code: str) -> None:
    with answering(saying(status, b"<html>Sign in</html>", "text/html")) as url:
        client = api(access, endpoint=url)
        with pytest.raises(ClusterError) as caught:
            client.call("GET", NODES, patience=client.patience(0.3), expected="NotFound")
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
