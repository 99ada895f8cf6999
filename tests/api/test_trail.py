"""A caller's ids: what is answered, kept with the operation, and logged."""

import re
import socket

import httpx
import pytest
from tests.support.configs import document
from tests.support.loglines import captured, named
from tests.support.serving import Serving
from tests.support.waiting import until

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import OperationRow

URL = "/api/v1/environments"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OURS = re.compile(r"[0-9a-f]{16}")


def test_the_id_goes_into_the_answer_the_operation_and_every_line(
    client: httpx.Client, sessions: Sessions
) -> None:
    headers = {"X-Request-ID": "call-1", "traceparent": PARENT}
    with captured() as lines:
        answer = client.post(URL, json=document(), headers=headers)
        until(lambda: named(lines, "request") and named(lines, "hint_sent"), "both lines are written")
    made = answer.json()
    assert answer.headers["x-request-id"] == "call-1"
    assert made["operation"]["request_id"] == "call-1"
    assert client.get(f"{URL}/{made['environment_id']}").json()["operation"]["request_id"] == "call-1"
    with transaction(sessions) as session:
        assert session.get_one(OperationRow, made["operation"]["id"]).traceparent == PARENT
    ids = {"request_id": "call-1", "trace_id": TRACE, "operation_id": made["operation"]["id"]}
    (request,), (hint,) = named(lines, "request"), named(lines, "hint_sent")
    assert request.items() >= {**ids, "environment_id": made["environment_id"], "status": 202}.items()
    assert hint.items() >= ids.items()


def test_a_delete_has_its_own_id_and_leaves_the_creates(client: httpx.Client, sessions: Sessions) -> None:
    made = client.post(URL, json=document(), headers={"X-Request-ID": "create"}).json()
    gone = client.delete(f"{URL}/{made['environment_id']}", headers={"X-Request-ID": "delete"}).json()
    again = client.delete(f"{URL}/{made['environment_id']}", headers={"X-Request-ID": "again"})
    assert gone["operation"]["request_id"] == "delete"
    # The operation is the first delete's, the answer the second's.
    assert again.json()["operation"]["request_id"] == "delete"
    assert again.headers["x-request-id"] == "again"
    with transaction(sessions) as session:
        assert session.get_one(OperationRow, made["operation"]["id"]).request_id == "create"


def test_a_repeated_create_tells_of_the_first(client: httpx.Client) -> None:
    def post(request_id: str) -> httpx.Response:
        headers = {"Idempotency-Key": "k", "X-Request-ID": request_id}
        return client.post(URL, json=document(), headers=headers)

    post("first")
    again = post("second")
    assert again.headers["x-request-id"] == "second"
    assert again.json()["operation"]["request_id"] == "first"


def test_without_an_id_it_gets_ours_and_no_trace(client: httpx.Client, sessions: Sessions) -> None:
    first, second = client.get("/health"), client.post(URL, json=document())
    assert OURS.fullmatch(first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert second.json()["operation"]["request_id"] == second.headers["x-request-id"]
    with transaction(sessions) as session:
        assert session.get_one(OperationRow, second.json()["operation"]["id"]).traceparent is None


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-ID: first\r\nX-Request-ID: second",
        b"X-Request-ID: " + b"x" * 10_000,
        b'X-Request-ID: folded\r\n {"event": "forged"}',
        b'X-Request-ID: {"event": "forged"}',
        b"X-Request-ID: \xe2\x80\xae\xf0\x9f\x92\xa5",
        b"X-Request-ID:",
        b"traceparent: " + PARENT.encode() + b"\r\ntraceparent: " + PARENT.encode(),
        b"traceparent: 00-zz",
    ],
    ids=["twice", "long", "folded", "json", "unicode", "empty", "two-parents", "no-parent"],
)
def test_what_cannot_be_used_is_replaced_and_not_refused(
    api: Serving, client: httpx.Client, header: bytes
) -> None:
    with captured() as lines:
        with socket.create_connection(("127.0.0.1", api.port)) as raw:
            raw.sendall(
                b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + header + b"\r\n\r\n"
            )
            with raw.makefile("rb") as stream:
                answer = stream.read().decode()
        until(lambda: named(lines, "request"), "the request is logged")
    assert answer.startswith("HTTP/1.1 200 ")
    given = re.findall(r"(?im)^x-request-id: (.*)\r$", answer)
    assert len(given) == 1
    assert OURS.fullmatch(given[0])
    (line,) = named(lines, "request")
    assert line["request_id"] == given[0]
    assert "trace_id" not in line


def test_what_one_request_has_noted_is_not_the_nexts(client: httpx.Client) -> None:
    with captured() as lines:
        client.post(URL, json=document(), headers={"X-Request-ID": "one", "traceparent": PARENT})
        client.get(URL)  # on the same connection
        until(lambda: len(named(lines, "request")) == 2, "both are logged")
    last = named(lines, "request")[1]
    assert OURS.fullmatch(last["request_id"])
    assert not {"trace_id", "environment_id", "operation_id"} & set(last)
