"""Traces over OTLP, by genuine types; collectors that harm nobody; and nothing at all without one."""

import os
import socket
import subprocess
import sys
import threading
from contextvars import copy_context
from functools import partial

import pytest
from tests.support.loglines import captured, named
from tests.support.traces import CALLER, PARENT, TRACE, Traces, traced
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.kit import origin, tracing
from beta9_provisioning.kit.collector import Collector

SECRET = "hunter2"


def test_spans_tell_what_was_begun_below_what() -> None:
    with traced(headers="authorization=Bearer%20abc,x-tenant=b9") as traces:
        with tracing.span("outer", {"n": 1}, parent=PARENT, role="consumer") as outer:
            with tracing.span("inner", {}):
                begun = tracing.begin("begun", {"word": "x"})
            begun.rename("renamed")
            begun.note({"n": 2})
            begun.end()
        assert outer.traceparent is not None
    found = traces.one("outer")
    assert (found.service, found.trace, found.parent, found.attributes) == ("tests", TRACE, CALLER, {"n": 1})
    assert outer.traceparent == f"00-{TRACE}-{found.id}-01" == origin.traceparent(outer.traceparent)
    assert traces.one("inner").parent == found.id
    assert traces.one("renamed").parent == traces.one("inner").id
    assert traces.one("renamed").attributes == {"word": "x", "n": 2}
    assert not any(span.is_error for span in traces.spans)
    request = traces.requests[0]
    assert (request["path"], request["authorization"], request["x-tenant"]) == (
        "/v1/traces",
        "Bearer abc",
        "b9",
    )


def test_the_present_span_follows_the_context_onto_threads() -> None:
    def work() -> None:
        tracing.begin("theirs", {}).end()

    with traced() as traces, tracing.span("ours", {}):
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        thread.join()
        stranger = threading.Thread(target=work)
        stranger.start()
        stranger.join()
    assert [span.parent for span in traces.named("theirs")] == [traces.one("ours").id, ""]


class _Coded(Exception):
    code = "provider_refused"


@pytest.mark.parametrize("error", [_Coded(f"password={SECRET}"), ValueError(f"password={SECRET}")])
def test_an_exception_is_told_by_its_code_alone(error: Exception) -> None:
    with traced() as traces, pytest.raises(type(error)), tracing.span("work", {}):
        raise error
    span = traces.one("work")
    assert (span.is_error, span.sentence) == (True, "")
    assert span.attributes == {"error.type": getattr(error, "code", "ValueError")}


def test_sentences_are_masked_bounded_and_the_first_one_counts() -> None:
    with traced() as traces:
        with tracing.span("first", {}) as span:
            span.fail("refused", f"It said password={SECRET} and left.")
            span.fail("later", "Something else.")
        with tracing.span("long", {}) as span:
            span.fail("long", "x" * 100_000)
    first = traces.one("first")
    assert first.attributes == {"error.type": "refused"}
    assert SECRET not in first.sentence
    assert first.sentence.startswith("It said password=(hidden)")
    assert 0 < len(traces.one("long").sentence) < 2000


@pytest.mark.parametrize(
    ("sampler", "ratio", "parent", "count"),
    [
        ("parentbased_always_on", 1.0, None, 1),
        ("parentbased_always_on", 1.0, PARENT, 1),
        ("parentbased_always_on", 1.0, PARENT[:-2] + "00", 0),
        ("parentbased_traceidratio", 0.0, None, 0),
        ("parentbased_traceidratio", 0.0, PARENT, 1),
        ("parentbased_always_off", 1.0, None, 0),
        ("always_off", 1.0, PARENT, 0),
        ("always_on", 1.0, PARENT[:-2] + "00", 1),
        ("traceidratio", 1.0, PARENT, 1),
    ],
)
def test_the_caller_or_the_setting_decides_what_is_sent(
    sampler: str, ratio: float, parent: str | None, count: int
) -> None:
    with traced(sampler=sampler, ratio=ratio) as traces:
        with tracing.span("work", {}, parent=parent) as span:
            pass
        # Those who go on with the work are told, so that they decide the same.
        assert span.traceparent is not None
        assert int(span.traceparent[-2:], 16) & 1 == count
    assert len(traces.spans) == count


def _more(traces: Traces, seen: int) -> bool:
    return len(traces.requests) > seen


def test_a_collector_that_refuses_is_told_of_once() -> None:
    with captured() as lines, traced() as traces:
        traces.status = 500
        for _ in range(3):
            with tracing.span("work", {}):
                pass
            seen = len(traces.requests)
            # Enough for a batch that is sent at once.
            for _ in range(600):
                tracing.begin("more", {}).end()
            until(partial(_more, traces, seen), "another batch was refused")
    assert len(named(lines, "traces_in_trouble")) == 1
    assert "500" in named(lines, "traces_in_trouble")[0]["detail"]


PROGRAM = """
import sys, threading
from beta9_provisioning.kit import logs, tracing
from beta9_provisioning.kit.collector import Collector

logs.configure("INFO", "json")
tracing.configure(Collector(sys.argv[1], "", "tests", "always_on", 1.0))
for number in range(20_000):  # far more than are kept
    tracing.begin("work", {"n": number}).end()
print("worked", flush=True)
tracing.shut_down()
"""


@pytest.mark.parametrize("manner", ["silent", "closed", "rude"])
def test_a_collector_that_is_no_use_keeps_no_process(manner: str) -> None:
    """Neither from its work nor from its end; one that is silent is so for an hour here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        stop = threading.Event()

        def be_rude() -> None:
            server.settimeout(0.05)
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000000\\r\\n\\r\\n")
                connection.close()

        rude = threading.Thread(target=be_rude)
        if manner == "closed":
            server.close()
        elif manner == "rude":
            rude.start()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, url],
            env={**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "3600"},
            capture_output=True,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )
        stop.set()
        if rude.ident:
            rude.join()
    assert (done.returncode, done.stdout) == (0, "worked\n"), done.stderr
    assert len(done.stderr.splitlines()) <= 1, "it speaks of the collector once"


def test_without_a_collector_nothing_is_imported_and_spans_are_nothing() -> None:
    program = """
import sys
from beta9_provisioning.api import server
from beta9_provisioning.worker import __main__
from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit import tracing
from beta9_provisioning.settings import Settings

create_app(Settings())
tracing.configure(Settings().collector("tests"))
with tracing.span("work", {}, parent=sys.argv[1]) as span:
    assert span is tracing.begin("other", {}) is tracing.NO_SPAN
    assert span.traceparent is None
    span.fail("x", "y")
tracing.shut_down()
# Web framework and Redis client import other parts of OpenTelemetry by themselves.
ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf", "requests")
print([name for name in sys.modules if name.startswith(ours)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, PARENT],
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_SDK_DISABLED"])
def test_variables_that_the_sdk_reads_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that it cannot read it would repeat, and spans that it was told not to make have no place."""
    monkeypatch.setenv(name, {"OTEL_SDK_DISABLED": "true"}.get(name, SECRET))
    with captured() as lines, traced() as traces:
        with tracing.span("work", {"n": 1}) as span:
            span.fail("code", "sentence")
        assert (span.traceparent is None) is (name == "OTEL_SDK_DISABLED")
    assert len(traces.spans) == (name != "OTEL_SDK_DISABLED")
    assert lines == []


def test_headers_are_in_no_picture_of_the_collector() -> None:
    assert SECRET not in repr(Collector("http://c", f"authorization={SECRET}", "tests", "always_on", 1.0))
