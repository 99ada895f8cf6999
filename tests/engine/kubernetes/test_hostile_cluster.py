"""A cluster's API that wants to lead its client elsewhere, or to hold it for ever."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest
from tests.engine.kubernetes.test_api import NODES, Tries, answering, api, saying
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.kubernetes import api as kubernetes_api
from beta9_provisioning.engine.kubernetes.api import ClusterError, KubernetesApi
from beta9_simulator.cluster.certificates import server_context

if TYPE_CHECKING:
    from tests.engine.conftest import Access

METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"


def redirecting(status: int, location: str) -> Callable[..., None]:
    """Send the client elsewhere, with a document that looks like a cluster's."""
    body = json.dumps({"kind": "Status", "status": "Success", "message": f"moved to {location}"}).encode()

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        for name in ("Location", "Content-Location", "Refresh", "Alt-Svc"):
            handler.send_header(name, f"0; url={location}" if name == "Refresh" else location)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_redirect_is_not_followed(access: Access, status: int, method: str) -> None:
    asked: list[str] = []

    def take(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked.append(handler.path)
        saying(200, b"{}")(handler, body)

    with (
        answering(take) as trap,
        answering(redirecting(status, f"{trap}/latest/meta-data/")) as url,
        pytest.raises(ClusterError) as caught,
    ):
        api(access, endpoint=url).call(method, NODES, body={"password": "s3cret"}, patience=Tries(2))
    assert asked == []
    assert caught.value.code == "cluster_failed"
    assert f"HTTP {status}: moved to {trap}" in caught.value.detail


def test_a_redirect_to_the_machines_metadata_is_told_and_not_followed(access: Access) -> None:
    """Nothing answers there in a test; a client that went would report a failure to connect."""
    with answering(redirecting(302, METADATA)) as url, pytest.raises(ClusterError) as caught:
        api(access, endpoint=url).call("GET", NODES, patience=Tries(1))
    assert caught.value.detail == f"GET {NODES}: HTTP 302: moved to {METADATA}"


class _Dripping(QuietHandler):
    """Sends a header that does not end, for as long as somebody listens."""

    while_it_comes: Callable[[], None]

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        try:
            while True:
                self.wfile.write(b"x")
                type(self).while_it_comes()
        except OSError:
            self.close_connection = True


def dripping(
    access: Access, while_it_comes: Callable[[], None], call: Callable[[KubernetesApi], None]
) -> None:
    """Call an API over TLS, as every cluster's is, that sends its headers byte by byte."""
    authority, context = server_context("127.0.0.1")
    handler = type("Dripping", (_Dripping,), {"while_it_comes": staticmethod(while_it_comes)})
    with answering_with(handler, context=context) as url:
        known = access.cluster_access(endpoint=url)
        trusted = base64.b64encode(authority.encode()).decode()
        client = KubernetesApi(replace(known, certificate_authority=trusted), access.stop)
        access.resources.callback(client.close)
        call(client)


def test_headers_that_come_byte_by_byte_held_the_worker_for_days(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_api, "ANSWER_SECONDS", 0.5)
    pace = threading.Event()

    def call(client: KubernetesApi) -> None:
        with pytest.raises(ClusterError, match="could not be reached") as caught:
            client.call("GET", NODES, patience=Tries(1))
        assert "not complete" in caught.value.detail

    def slowly() -> None:
        pace.wait(0.02)

    dripping(access, slowly, call)


def test_stop_is_noticed_between_two_bytes_of_a_header(access: Access) -> None:
    def call(client: KubernetesApi) -> None:
        with pytest.raises(Stopped):
            client.call("GET", NODES, patience=client.patience(3600))

    pace = threading.Event()

    def stop() -> None:
        access.stop.set()
        pace.wait(0.02)

    dripping(access, stop, call)
