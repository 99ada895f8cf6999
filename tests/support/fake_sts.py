"""An STS, a proxy or whoever else answers in its place, with scripted answers."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl

from tests.support.http_servers import QuietHandler, answering_with

Answer = Callable[[BaseHTTPRequestHandler], None]

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass
class Asked:
    """One request: its first line's method and target, its form, and its headers in lower case."""

    method: str
    target: str
    fields: dict[str, str]
    headers: dict[str, str]

    @property
    def access_key(self) -> str:
        """The access key that it was signed with."""
        return self.headers["authorization"].partition("Credential=")[2].partition("/")[0]


@dataclass
class FakeSts:
    """The server; it gives its answers in turn, the last one again and again."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: deque[Answer] = field(default_factory=deque)

    def will(self, *answers: Answer) -> None:
        """Answer so from now on."""
        self.answers = deque(answers)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Note the request and answer it."""
        handler.close_connection = True
        form = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append(Asked(handler.command, handler.path, dict(parse_qsl(form)), headers))
        (self.answers.popleft() if len(self.answers) > 1 else self.answers[0])(handler)


@contextmanager
def fake_sts(context: ssl.SSLContext | None = None) -> Iterator[FakeSts]:
    """Run one until the block ends; with a context it speaks TLS."""
    fake = FakeSts()

    class Handler(QuietHandler):
        def _any(self) -> None:
            fake.handle(self)

        do_GET = do_POST = do_PUT = do_HEAD = do_CONNECT = _any

    with answering_with(Handler, context=context) as fake.url:
        yield fake


def says(status: int, content: str | bytes, **headers: str) -> Answer:
    """Answer with this content."""
    raw = content.encode() if isinstance(content, str) else content

    def answer(handler: BaseHTTPRequestHandler) -> None:
        # The first of these adds a Date of its own.
        (handler.send_response_only if "Date" in headers else handler.send_response)(status)
        handler.send_header("Content-Type", "text/xml")
        for name, value in {"Content_Length": str(len(raw)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


def gives(access_key: str, secret_key: str = "given-secret", token: str = "given/token+==") -> Answer:
    """Answer an AssumeRole with these credentials."""
    return says(
        200,
        f'<AssumeRoleResponse xmlns="{_NAMESPACE}"><AssumeRoleResult><Credentials>'
        f"<AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{secret_key}</SecretAccessKey>"
        f"<SessionToken>{token}</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>",
    )


def refuses(status: int, code: str, message: str = "No.") -> Answer:
    """Answer with an error as AWS words it."""
    return says(
        status,
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>",
    )


def drops(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.connection.close()


def trickles(start: bytes, more: bytes) -> Answer:
    """Write this, and then more and more of the other, slowly, until the client has gone."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start)
        handler.connection.settimeout(0.01)
        with suppress(OSError):
            # A timeout between two bytes never comes.
            while True:
                handler.wfile.write(more)
                with suppress(TimeoutError):
                    if not handler.connection.recv(1):
                        return

    return answer
