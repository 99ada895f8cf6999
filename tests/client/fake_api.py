"""A fake of the service's HTTP API with scripted answers, for the client's own behaviour only."""

import json
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.http_servers import QuietHandler, answering_with

ENVIRONMENT_ID = "env_0123456789abcdef"
OPERATION_ID = "op_0123456789abcdef"
REQUEST_ID = "3f1c9a0b77d2e845"
"""What answers with problem documents carry, as the service's do."""
BASE = "/api/v1/environments"


@dataclass
class Received:
    """One request as it came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class FakeApi:
    """The server: queue answers for a method and path; the last one is given again and again."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    scripts: dict[tuple[str, str], deque[Answer]] = field(default_factory=lambda: defaultdict(deque))

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Answer this request so, in this order."""
        self.scripts[method, path].extend(answers)

    def requests(self, method: str, path: str) -> list[Received]:
        """Requests of this kind, in the order of their coming."""
        return [item for item in self.received if (item.method, item.path) == (method, path)]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Record the request and answer it."""
        path, _, query = handler.path.partition("?")
        length = int(handler.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.received.append(Received(handler.command, path, query, headers, handler.rfile.read(length)))
        script = self.scripts.get((handler.command, path))
        if not script:
            problem(404, "Not Found", f"{path} is not there")(handler)
            return
        answer = script.popleft() if len(script) > 1 else script[0]
        answer(handler)


@contextmanager
def serving(port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[FakeApi]:
    """Run a fake until the block ends; with a context it speaks TLS."""
    fake = FakeApi()
    with listening(fake, port, context):
        yield fake


@contextmanager
def listening(fake: FakeApi, port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """Let an existing fake listen until the block ends."""

    class Handler(QuietHandler):
        def _any(self) -> None:
            self.close_connection = True
            fake.handle(self)

        do_GET = do_POST = do_PATCH = do_DELETE = _any

    with answering_with(Handler, port, context) as fake.url:
        yield


def body(status: int, content: bytes | str, content_type: str = "application/json", **headers: str) -> Answer:
    """Answer with this content."""
    raw = content.encode() if isinstance(content, str) else content

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


def answer_json(document: object, status: int = 200) -> Answer:
    """Answer with a JSON document."""
    return body(status, json.dumps(document))


def problem(status: int, title: str, detail: str, errors: list[dict[str, Any]] | None = None) -> Answer:
    """Answer with a problem document."""
    document = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": errors or [],
    }
    return body(status, json.dumps(document), "application/problem+json", **{"X-Request-ID": REQUEST_ID})


def drop(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.connection.close()
    handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123  the handler flushes it


def stream(*events: dict[str, Any], then: str = "close") -> Answer:
    """Send server-sent events, then close in order, `cut` in the middle of a message, or hang."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        _chunk(handler, ": ping\n\n")
        for item in events:
            _chunk(handler, f"id: {item['id']}\nevent: {item['type']}\ndata: {json.dumps(item)}\n\n")
        if then == "cut":
            _chunk(handler, 'id: 999\nevent: x\ndata: {"id": 999, "half')
            drop(handler)
        elif then == "hang":
            handler.connection.recv(1)  # returns when the client has gone
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def _chunk(handler: BaseHTTPRequestHandler, text: str) -> None:
    raw = text.encode()
    handler.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
    handler.wfile.flush()


def event(
    number: int, type: str = "step.started", message: str = "Something.", **data: Any
) -> dict[str, Any]:
    """An event on the wire."""
    return {
        "id": number,
        "at": "2026-01-02T03:04:05Z",
        "operation_id": OPERATION_ID,
        "type": type,
        "message": message,
        "data": data,
    }


def summary(**changes: Any) -> dict[str, Any]:
    """A summary on the wire."""
    return {
        "environment_id": ENVIRONMENT_ID,
        "name": "demo",
        "status": "queued",
        "provider": "aws",
        "region": "us-east-1",
        "account_id": "123456789012",
        "created_at": "2026-01-02T03:04:00Z",
        "updated_at": "2026-01-02T03:04:00Z",
        **changes,
    }


def environment(*, operation: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """An environment on the wire."""
    return {
        **summary(),
        "deletion_protection": False,
        "config": {
            "name": "demo",
            "cloud": {
                "provider": "aws",
                "region": "us-east-1",
                "account_id": "123456789012",
                "role_arn": "arn:aws:iam::123456789012:role/Beta9Provisioner",
            },
            "beta9": {"domain": "beta9.example.com"},
        },
        "outputs": {},
        "error": None,
        "operation": {
            "id": OPERATION_ID,
            "kind": "provision",
            "status": "queued",
            "created_at": "2026-01-02T03:04:00Z",
            **(operation or {}),
        },
        "progress": None,
        **changes,
    }


FINISHED = {"status": "succeeded", "finished_at": "2026-01-02T03:04:34Z"}
FAILED = {"status": "failed", "finished_at": "2026-01-02T03:04:34Z"}


def identity(**changes: Any) -> dict[str, Any]:
    """Who is asking, on the wire."""
    return {
        "authentication": "key",
        "member_id": "mem_0123456789abcdef",
        "member_name": "alice",
        "organization_id": "default",
        "organization_name": "default",
        "role": "operator",
        "permissions": ["environments:read", "environments:write"],
        "key_id": "key_0123456789abcdef",
        "key_expires_at": "2036-01-02T03:04:05Z",
        **changes,
    }


def methods(*, required: bool = True, oidc: dict[str, str] | None = None) -> dict[str, Any]:
    """How one logs in, on the wire."""
    return {"required": required, "oidc": oidc}
