"""Spans of requests: what they tell, what is not traced, and several processes that each send theirs."""

import signal
from pathlib import Path

import httpx
import pytest
from tests.support.configs import document
from tests.support.serving import answers, api_process, serving
from tests.support.traces import CALLER, PARENT, TRACE, collecting, traced
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.operations.records.model import OperationRow
from beta9_provisioning.settings import Settings, SettingsError, get_settings

URL = "/api/v1/environments"
SERVER = 2  # opentelemetry.proto.trace.v1.Span.SPAN_KIND_SERVER


def test_the_operation_keeps_the_span_of_its_request(client: httpx.Client, sessions: Sessions) -> None:
    with traced() as traces:
        made = client.post(URL, json=document(), headers={"traceparent": PARENT, "X-Request-ID": "call-1"})
        client.get("/health")  # on the same connection: the span before it has ended
    span = traces.one(f"POST {URL}")
    assert (span.trace, span.parent, span.kind) == (TRACE, CALLER, SERVER)
    operation_id = made.json()["operation"]["id"]
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": URL,
        "http.response.status_code": 202,
        "provisioning.request_id": "call-1",
        "provisioning.environment_id": made.json()["environment_id"],
        "provisioning.operation_id": operation_id,
    }
    with transaction(sessions) as session:
        assert session.get_one(OperationRow, operation_id).traceparent == f"00-{TRACE}-{span.id}-01"


def test_a_trace_that_is_not_sampled_stays_so(client: httpx.Client, sessions: Sessions) -> None:
    with traced() as traces:
        made = client.post(URL, json=document(), headers={"traceparent": PARENT[:-2] + "00"}).json()
    assert traces.spans == []
    with transaction(sessions) as session:
        kept = session.get_one(OperationRow, made["operation"]["id"]).traceparent
    assert kept is not None
    assert kept.split("-")[1] == TRACE
    assert kept.endswith("-00")


def test_names_hold_no_ids_and_no_words_of_callers(client: httpx.Client) -> None:
    with traced() as traces:
        client.get(f"{URL}/env_a1b2c3d4e5f6g7h8")
        client.request("BREW", f"{URL}/secret-path?token=hunter2")
        client.get("/api/v1/made-up")
        for path in ("/health", "/health/ready", "/metrics", "/docs"):
            client.get(path)
    assert sorted(span.name for span in traces.spans) == [
        f"GET {URL}/{{environment_id}}",
        "GET other",
        f"other {URL}/{{environment_id}}",
    ]
    assert "hunter2" not in str(traces.spans)
    assert "secret-path" not in str(traces.spans)
    # That something is not there, or not possible, is no failure of the service.
    assert not any(span.is_error for span in traces.spans)


def test_a_fault_is_told_by_its_status_alone(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/api/broken")
    def broken() -> None:
        raise RuntimeError("the password is tr0ub4dor")

    with traced() as traces, serving(app) as server, server.client() as client:
        client.get("/api/broken")
    span = traces.one("GET /api/broken")
    assert (span.is_error, span.attributes["error.type"], span.sentence) == (True, "500", "")
    assert "tr0ub4dor" not in str(traces.spans)


def test_each_of_several_processes_sends_its_spans(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several, port = settings.model_copy(update={"api_processes": 2}), free_port()
    monkeypatch.chdir(tmp_path)
    with collecting() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url + "/")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "our-api")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with api_process(several, port, tmp_path) as parent:
            until(lambda: answers(port), "one of them serves")

            def ask() -> bool:
                httpx.get(f"http://127.0.0.1:{port}{URL}", timeout=GUARD_SECONDS, trust_env=False)
                return len({span.instance for span in list(traces.spans)}) == 2

            until(ask, "both have sent spans")
            parent.send_signal(signal.SIGTERM)
            assert parent.wait(GUARD_SECONDS) == 0
    assert {span.service for span in traces.spans} == {"our-api"}


@pytest.mark.parametrize(
    "headers",
    ["hunter2", "=hunter2", "a b=hunter2", "a=hunter2,hunter2", "a=hunter2%0d%0ab=c", "a=hunter2%C3%A4"],
)
def test_headers_that_are_none_are_told_without_their_values(
    headers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match=r"OTEL_EXPORTER_OTLP_HEADERS: .* must be name=value") as caught:
        get_settings()
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer hunter2==, x-a=b%2C,")
    assert get_settings().collector("tests").headers
    get_settings.cache_clear()


def test_an_endpoint_that_is_none_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for endpoint in (
        "collector:4318",
        "ftp://collector",
        "http://collector:4318/v1/traces",
        "http://c/?token=x",
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with pytest.raises(
            ValueError, match="must be a URL such as http://collector:4318, without /v1/traces"
        ):
            Settings()
    for endpoint in ("http://collector:4318", "https://collector/", "https://proxy.example.com/otel/b9"):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        assert Settings().otel_exporter_otlp_endpoint == endpoint
