"""Answers of a cluster that are too long, or of a shape that nobody expects."""

from __future__ import annotations

import gzip
import itertools
import json
import tracemalloc
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest
from tests.engine.kubernetes.test_api import NODES, Tries, answering, api, saying

from beta9_provisioning.engine.kubernetes.api import ClusterError

if TYPE_CHECKING:
    from tests.engine.conftest import Access

MIB = 1024 * 1024


def test_an_answer_of_17_mib_is_refused_and_not_held(access: Access) -> None:
    body = b'{"items": "' + b"x" * 17 * MIB + b'"}'
    with answering(saying(200, body)) as url, pytest.raises(ClusterError, match="more than 16 MiB") as caught:
        api(access, endpoint=url).call("GET", NODES)
    assert caught.value.code == "answer_too_large"
    assert caught.value.remedy


def test_an_answer_of_15_mib_is_taken(access: Access) -> None:
    body = b'{"items": "' + b"x" * 15 * MIB + b'"}'
    with answering(saying(200, body)) as url:
        assert len(api(access, endpoint=url).call("GET", NODES).document["items"]) == 15 * MIB


def test_an_answer_without_end_is_left_after_16_mib(access: Access) -> None:
    def pour(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _number in itertools.count():
                handler.wfile.write(b"x" * MIB)
        except OSError:
            handler.close_connection = True

    with answering(pour) as url, pytest.raises(ClusterError, match="more than 16 MiB"):
        api(access, endpoint=url).call("GET", NODES)


def test_an_answer_that_unpacks_to_gibibytes_is_not_unpacked(access: Access) -> None:
    packed = gzip.compress(b'{"items": "' + bytes(200 * MIB) + b'"}', compresslevel=9)

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    with answering(respond) as url:
        client = api(access, endpoint=url)
        tracemalloc.start()
        try:
            with pytest.raises(ClusterError) as caught:
                client.call("GET", NODES, patience=Tries(1))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "without a JSON document" in caught.value.detail
    assert peak < 32 * MIB


def test_an_answer_nested_without_end_is_no_document(access: Access) -> None:
    with answering(saying(200, b"[" * 1_000_000)) as url, pytest.raises(ClusterError) as caught:
        api(access, endpoint=url).call("GET", NODES, patience=Tries(1))
    assert "without a JSON document" in caught.value.detail


def test_a_refusal_of_megabytes_is_cut_and_readable(access: Access) -> None:
    words = "denied the request: \0 " + "password " * 500_000
    status = {"kind": "Status", "reason": "Forbidden", "message": words}
    answer = saying(403, json.dumps(status).encode())
    with answering(answer) as url, pytest.raises(ClusterError) as caught:
        api(access, endpoint=url).call("GET", NODES)
    assert "denied the request: \ufffd password" in caught.value.detail
    assert len(caught.value.detail) < 10_000
