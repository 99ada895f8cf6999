"""A registry of charts (OCI, over TLS) that answers as a test tells it: well, or with hostility."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import ssl
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.support.http_servers import QuietHandler, answering_with

Answer = Callable[[BaseHTTPRequestHandler], None]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass
class Registry:
    """The server; it gives one chart, under whatever name and version it is asked for.

    Attributes:
        answers: what is answered in place of the good answer, by `manifest`, `config`, `chart` or `token`.
        size: the chart's size as the manifest declares it; its own if None.
        asked: the paths of all requests.
        credentials: what came in Authorization.
    """

    chart: bytes
    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    size: int | None = None
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """What CHART_SOURCE would be."""
        return f"oci://{self.url.removeprefix('https://')}/charts"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Note the request and answer it."""
        self.asked.append(handler.path)
        if sent := handler.headers.get("Authorization"):
            self.credentials.append(sent)
        config = b"{}"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(_CONFIG, config),
                "layers": [
                    _descriptor(_CHART, self.chart) | ({} if self.size is None else {"size": self.size})
                ],
            }
        ).encode()
        what, content = {
            "manifests": ("manifest", manifest),
            _digest(config): ("config", config),
            _digest(self.chart): ("chart", self.chart),
        }.get(handler.path.split("/")[-2 if "/manifests/" in handler.path else -1], ("token", b"{}"))
        self.answers.get(what, gives(content, MANIFEST))(handler)


@contextmanager
def registry(context: ssl.SSLContext, chart: bytes) -> Iterator[Registry]:
    """Run one until the block ends."""
    found = Registry(chart)

    class Handler(QuietHandler):
        def _any(self) -> None:
            self.close_connection = True
            found.handle(self)

        do_GET = do_POST = do_HEAD = _any

    with answering_with(Handler, context=context) as found.url:
        yield found


def gives(content: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> Answer:
    """Answer with this content."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("Docker-Content-Digest", _digest(content))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    return answer


def packed(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    """Return a chart's archive; names are taken as they are, `links` are symbolic."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return gzip.compress(raw.getvalue(), 1)


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
