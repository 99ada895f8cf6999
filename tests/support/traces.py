"""A collector of traces: it takes what OTLP exporters send over HTTP, by the genuine protobuf types."""

import gzip
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.kit import tracing
from beta9_provisioning.kit.collector import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CALLER}-01"
"""What a caller sends."""


@dataclass(frozen=True)
class Told:
    """A span as it was sent."""

    service: str
    instance: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, str | int]
    is_error: bool
    sentence: str
    seconds: float


@dataclass
class Traces:
    """What has come in, and the status with which requests are answered."""

    url: str = ""
    status: int = 200
    requests: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list, repr=False)
    spans: list[Told] = field(default_factory=list)

    def named(self, name: str) -> list[Told]:
        """Return the spans of a name."""
        return [span for span in list(self.spans) if span.name == name]

    def one(self, name: str) -> Told:
        """Return the only span of a name."""
        (found,) = self.named(name)
        return found

    def below(self, parent: Told) -> list[Told]:
        """Return the spans right below another one."""
        return [span for span in list(self.spans) if span.parent == parent.id]

    def take(self, body: bytes) -> None:
        """Read a request."""
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_told(about, span) for span in scope.spans]


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in pairs}


def _told(about: dict[str, str | int], span: Span) -> Told:
    return Told(
        service=str(about["service.name"]),
        instance=str(about["service.instance.id"]),
        name=span.name,
        kind=span.kind,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        sentence=span.status.message,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


@contextmanager
def collecting() -> Iterator[Traces]:
    """Take spans meanwhile."""
    traces = Traces()
    lock = threading.Lock()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            with lock:
                traces.requests.append({"path": self.path, **dict(self.headers)})
                if traces.status == 200:
                    traces.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(traces.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with answering_with(Handler) as traces.url:
        yield traces


@contextmanager
def traced(**changes: object) -> Iterator[Traces]:
    """Have this process send its spans meanwhile; all have come when the block has ended."""
    with collecting() as traces:
        given = {
            "headers": "",
            "service": "tests",
            "sampler": "parentbased_always_on",
            "ratio": 1.0,
            **changes,
        }
        tracing.configure(Collector(endpoint=traces.url, **given))  # type: ignore[arg-type]
        try:
            yield traces
        finally:
            tracing.shut_down()
