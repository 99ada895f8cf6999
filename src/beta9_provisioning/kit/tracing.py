"""Traces, sent to a collector over OTLP if there is one; else spans are nothing and cost nothing.

A span has one of few names, and attributes that tell those of one name apart: ids and codes, no values that
users or tools gave. Of this package, OpenTelemetry is imported by `configure` alone; FastAPI and the Redis
client import parts of it by themselves where it is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from beta9_provisioning.kit.collector import Attributes, Collector, Role
from beta9_provisioning.kit.masking import mask_text

if TYPE_CHECKING:
    from opentelemetry.trace import Span as Recorded

    from beta9_provisioning.kit.otlp import Exporting

_LONGEST_SENTENCE = 1024


class Span:
    """A stretch of work that is told to the collector when it has ended; by default one that is not."""

    traceparent: str | None = None
    """Its place in a trace, for those who go on with the work elsewhere."""

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""

    def note(self, attributes: Attributes) -> None:
        """Add what is known only now."""

    def fail(self, code: str, sentence: str = "") -> None:
        """Tell that it failed: a code, and a sentence in which secrets are hidden. The first one counts."""

    def end(self) -> None:
        """End it; nothing can be added after that."""


class _Recorded(Span):
    def __init__(self, recorded: Recorded, traceparent: str | None) -> None:
        self._recorded = recorded
        self._failed = False
        self.traceparent = traceparent

    def rename(self, name: str) -> None:
        self._recorded.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._recorded.set_attributes(attributes)

    def fail(self, code: str, sentence: str = "") -> None:
        if self._failed:
            return
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        self._failed = True
        self._recorded.set_attribute("error.type", code)
        self._recorded.set_status(StatusCode.ERROR, mask_text(sentence, _LONGEST_SENTENCE) or None)

    def end(self) -> None:
        self._recorded.end()


NO_SPAN = Span()
"""When there is no collector."""
_exporting: Exporting | None = None


def configure(collector: Collector) -> None:
    """Send the spans of this process to a collector from now on, until `shut_down`.

    A process configures itself: spans do not survive a fork.
    """
    global _exporting
    if collector.endpoint:
        from beta9_provisioning.kit.otlp import Exporting  # noqa: PLC0415

        _exporting = Exporting(collector)


def shut_down() -> None:
    """Send what waits, and end; a collector that does not answer is left after 3 s."""
    global _exporting
    exporting, _exporting = _exporting, None
    if exporting is not None:
        exporting.shut_down()


def begin(name: str, attributes: Attributes, *, parent: str | None = None, role: Role = "internal") -> Span:
    """Begin a span that the caller ends; below the `traceparent` of another process, or the present span."""
    if _exporting is None:
        return NO_SPAN
    return _Recorded(*_exporting.begin(name, attributes, parent, role))


@contextmanager
def span(
    name: str, attributes: Attributes, *, parent: str | None = None, role: Role = "internal"
) -> Iterator[Span]:
    """Let a span be the present one meanwhile; an exception is told by its code or type alone.

    What it is on another thread follows the thread's context (contextvars).
    """
    if _exporting is None:
        yield NO_SPAN
        return
    recorded, traceparent = _exporting.begin(name, attributes, parent, role)
    begun = _Recorded(recorded, traceparent)
    try:
        with _exporting.present(recorded):
            yield begun
    except BaseException as error:
        begun.fail(str(getattr(error, "code", "") or type(error).__name__))
        raise
    finally:
        begun.end()
