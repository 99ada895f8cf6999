"""OpenTelemetry's SDK as this program uses it. Imported when a collector is configured, and not before.

Nothing of the program waits for the collector: a thread of the SDK sends what has ended, spans beyond 2,048
that wait are dropped, and the end of the process waits 3 s for the last ones. The SDK starts its thread
again in forks, of which there are none: children are programs of their own, without a `preexec_fn`.
"""

import logging
import os
import socket
import threading
import time
from contextlib import AbstractContextManager
from importlib.metadata import version

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, set_span_in_context, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from beta9_provisioning.kit.collector import Attributes, Collector, Role

log = structlog.get_logger(__name__)

_PATH = "/v1/traces"
_HEADER = "traceparent"
_STOP_SECONDS = 3.0
_APART_SECONDS = 300.0
_KINDS: dict[Role, SpanKind] = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}


class Exporting:
    """Makes spans, and sends them."""

    def __init__(self, collector: Collector) -> None:
        """Start to send; nothing is connected yet."""
        _speak_rarely()
        package = __name__.partition(".")[0]
        resource = Resource.create(
            {
                "service.name": collector.service,
                "service.version": version(package.replace("_", "-")),
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        )
        # Not at Python's own exit, which would wait as long as the collector likes.
        self._provider = TracerProvider(_sampler(collector), resource, shutdown_on_exit=False)
        headers = parse_env_headers(collector.headers, liberal=True)
        exporter = OTLPSpanExporter(collector.endpoint.rstrip("/") + _PATH, headers=headers)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(package)
        self._w3c = TraceContextTextMapPropagator()

    def begin(
        self, name: str, attributes: Attributes, parent: str | None, role: Role
    ) -> tuple[Span, str | None]:
        """Begin a span, and return it with its `traceparent`, if it has one."""
        above = self._w3c.extract({_HEADER: parent}) if parent else None
        recorded = self._tracer.start_span(name, above, _KINDS[role], attributes)
        carrier: dict[str, str] = {}
        self._w3c.inject(carrier, set_span_in_context(recorded))
        return recorded, carrier.get(_HEADER)

    def present(self, recorded: Span) -> AbstractContextManager[Span]:
        """Let a span be the present one; what is raised meanwhile is not told, for it may hold secrets."""
        return use_span(recorded, record_exception=False, set_status_on_exception=False)

    def shut_down(self) -> None:
        """Send what waits, but wait no longer than 3 s for it."""
        thread = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        thread.start()
        thread.join(_STOP_SECONDS)


def _sampler(collector: Collector) -> sampling.Sampler:
    is_parent_based = collector.sampler.startswith("parentbased_")
    root = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(collector.ratio),
    }[collector.sampler.removeprefix("parentbased_")]
    return sampling.ParentBased(root) if is_parent_based else root


class _Rarely(logging.Handler):
    """Passes on what the SDK says of its troubles, one sentence in five minutes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._not_before = 0.0
        self._kept_back = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Log it, or count it."""
        now = time.monotonic()
        if now < self._not_before:
            self._kept_back += 1
            return
        log.warning("traces_in_trouble", detail=record.getMessage(), kept_back=self._kept_back)
        self._not_before, self._kept_back = now + _APART_SECONDS, 0


def _speak_rarely() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_Rarely()]
    logger.propagate = False
    # It repeats headers that it cannot read, secrets included; settings have been checked.
    logging.getLogger(parse_env_headers.__module__).disabled = True
