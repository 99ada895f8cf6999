"""Every attack in headers, ids and parameters, byte for byte: one answer, which holds nothing forged."""

import re
import socket
from urllib.parse import quote

import httpx
import pytest
from tests.security.attacks import KINDS, attacks
from tests.support.configs import document
from tests.support.loglines import captured
from tests.support.serving import Serving
from tests.support.waiting import GUARD_SECONDS

URL = "/api/v1/environments"
OURS = re.compile(r"[0-9a-f]{16}")
HEADERS = [
    "X-Request-ID", "traceparent", "tracestate", "Idempotency-Key", "Last-Event-ID", "Host", "Origin",
    "Sec-Fetch-Site", "Accept", "Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding",
    "Expect", "Connection", "X-Forwarded-For", "Authorization", "Cookie", "Range", "Referer",
]  # fmt: skip


def raw(api: Serving, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=GUARD_SECONDS) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            try:
                return stream.read()
            except ConnectionResetError:  # it had closed while some of a long header was still coming
                return b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_forges_no_answer_and_breaks_nothing(api: Serving, client: httpx.Client, kind: str) -> None:
    known = client.post(URL, json=document()).json()["environment_id"]
    for name in HEADERS:
        own = b"" if name == "Host" else b"Host: localhost\r\n"
        for attack in attacks(kind):
            sent = attack.encode("utf-8", "surrogatepass")
            request = f"GET {URL}/{known}/events HTTP/1.1\r\nConnection: close\r\n".encode()
            answer = raw(api, request + own + name.encode() + b": " + sent + b"\r\n\r\n")
            head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
            where = f"{attack[:60]!a} in {name}: {head[:400]}"
            assert re.match(r"HTTP/1\.1 [24]\d\d ", head) or (not head and len(sent) > 4096), where
            assert not re.search(r"(?im)^(x-forged|set-cookie):", head), where
            assert "\r" not in head.replace("\r\n", ""), where
    assert client.get(f"{URL}/{known}").is_success


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_or_parameter_is_just_not_known(client: httpx.Client, kind: str) -> None:
    with captured() as lines:
        for attack in attacks(kind):
            if attack in (".", ".."):
                continue  # clients take them away: what is sent as it is typed comes below
            part = quote(attack[:4000].encode("utf-8", "surrogatepass"), safe="")
            for after in ("", "/events", "/kubeconfig"):
                for method in ("GET", "DELETE", "PATCH"):
                    answer = client.request(method, f"{URL}/{part}{after}", content=b"{}")
                    assert 400 <= answer.status_code < 500, f"{method} {attack[:60]!a}: {answer.text[:300]}"
            for name in ("cursor", "name", "status", "limit", "surprise"):
                answer = client.get(f"{URL}?{name}={part}")
                # Some attacks are names: of nobody's environment.
                empty = answer.is_success and name == "name" and answer.json()["items"] == []
                assert answer.status_code in (400, 422) or empty, (
                    f"{name} {attack[:60]!a}: {answer.text[:300]}"
                )
    assert not [line for line in lines if line["log_level"] in ("error", "critical")]
    assert client.get(URL).json()["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        *(
            "..%2f",
            "%2e%2e%2fhealth",
            "../../../etc/passwd",
            "..\\..",
            "%00",
            "env_%00",
            "%ff%fe",
            "%ed%a0%80",
        ),
        *(
            "%zz",
            "%",
            "//evil.example",
            "env_0123456789abcdef%0a",
            "env_0123456789abcdef%2f..",
        ),
        "a;x=1",
        "%0d%0aX-Forged:1",
    ],
)
def test_a_path_as_it_is_typed_leads_nowhere_else(api: Serving, path: str) -> None:
    request = f"GET {URL}/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = raw(api, request.encode()).decode("latin-1")
    assert re.match(r"HTTP/1\.1 4\d\d ", answer), answer[:300]
    assert not re.search(r"(?im)^x-forged:", answer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_id_that_is_taken_holds_nothing_that_steers(client: httpx.Client, kind: str) -> None:
    for attack in attacks(kind):
        try:
            given = client.get("/health", headers={b"X-Request-ID": attack.encode("utf-8", "surrogatepass")})
        except httpx.LocalProtocolError:  # httpx refuses to send it; the raw bytes are sent above
            continue
        if given.status_code < 400:
            answered = given.headers["x-request-id"]
            assert OURS.fullmatch(answered) or answered == attack.strip(" \t"), f"{attack!a}"
            assert re.fullmatch(r"[!-~]{1,128}", answered), f"{attack!a}"
