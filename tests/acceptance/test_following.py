"""One request followed through API, queue and worker, all of them processes of their own."""

import os
import signal
import socket
from collections.abc import Iterator
from functools import partial

import pytest
from ruamel.yaml import YAML
from tests.acceptance.test_product import Product
from tests.support.loglines import Line, named, written
from tests.support.simulated import ROOT
from tests.support.traces import CALLER, PARENT, TRACE, Traces
from tests.support.waiting import until

from beta9_provisioning.local.state import Member
from beta9_provisioning.operations.workflows import PROVISION

CONFIG = YAML(typ="safe", pure=True).load((ROOT / "example-config.yaml").read_text())


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A collector that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def lines(product: Product, process: str) -> list[Line]:
    return written(product.stack.logs / f"{process}.log")


def having(found: list[Line], **ids: str) -> list[str]:
    """Return the events of the lines that have these ids."""
    return [line["event"] for line in found if line.items() >= ids.items()]


def test_a_request_is_found_in_the_logs_of_both(product: Product) -> None:
    headers = {"X-Request-ID": "call-1", "traceparent": PARENT}
    made = product.http.post("/api/v1/environments", json=CONFIG, headers=headers).json()
    environment_id, operation_id = made["environment_id"], made["operation"]["id"]
    product.wait(environment_id, "ready")
    product.delete(environment_id)
    product.wait(environment_id, "destroyed")

    ids = {"request_id": "call-1", "trace_id": TRACE, "operation_id": operation_id}
    api, worker = lines(product, "api"), lines(product, "worker")
    assert sorted(having(api, **ids, environment_id=environment_id)) == ["hint_sent", "request"]
    attempt = having(worker, **ids, environment_id=environment_id)
    assert {"operation_started", "operation_ended"} <= set(attempt)
    # By the operation alone the same lines are found, and the delete's are none of them.
    assert having(worker, operation_id=operation_id) == attempt
    assert having(worker, request_id="call-1") == attempt
    destroy = [line for line in worker if line.get("operation_id") not in (None, operation_id)]
    assert having(destroy, environment_id=environment_id)
    assert not [line for line in destroy if "trace_id" in line or line.get("request_id") == "call-1"]


def test_one_trace_leads_from_the_request_to_every_resource(collector: Traces, product: Product) -> None:
    headers = {"traceparent": PARENT, "X-Request-ID": "call-1"}
    made = product.http.post("/api/v1/environments", json=CONFIG, headers=headers).json()
    environment_id = made["environment_id"]
    product.wait(environment_id, "ready")
    created = {
        event["data"]["address"]
        for event in product.events(environment_id)
        if event["type"] == "terraform.resource" and event["data"]["phase"] == "complete"
    }
    product.delete(environment_id)
    product.wait(environment_id, "destroyed")
    until(lambda: collector.named("attempt destroy"), "all spans have come")

    request, attempt = collector.one("POST /api/v1/environments"), collector.one("attempt provision")
    assert (request.service, request.parent) == ("provisioning-api", CALLER)
    ids = {
        "provisioning.environment_id": environment_id,
        "provisioning.operation_id": made["operation"]["id"],
        "provisioning.request_id": "call-1",
    }
    assert request.attributes.items() >= {**ids, "http.response.status_code": 202}.items()
    assert (attempt.service, attempt.parent) == ("provisioning-worker", request.id)
    assert attempt.attributes.items() >= {**ids, "provisioning.outcome": "succeeded"}.items()
    steps = collector.below(attempt)
    assert [span.name for span in steps] == [f"step {step.name}" for step in PROVISION]

    (apply,) = [span for span in steps if span.name == "step apply"]
    made_here = [span for span in collector.below(apply) if "terraform.address" in span.attributes]
    assert len(made_here) == len(created) > 40
    assert {span.attributes["terraform.address"] for span in made_here} == created
    charts = [span for span in collector.spans if span.name.startswith("helm install")]
    assert {span.name.split()[-1] for span in charts} == {
        "aws-load-balancer-controller",
        "metrics-server",
        "traefik",
        "cert-manager",
        "beta9",
    }
    assert {span.parent for span in charts} <= {span.id for span in steps}
    trace = {span.id for span in (request, attempt, *steps, *made_here, *charts)}
    assert {span.id for span in collector.spans if span.trace == TRACE} == trace

    # The delete is a trace of its own, whose caller gave none.
    delete, destroy = (
        collector.one("DELETE /api/v1/environments/{environment_id}"),
        collector.one("attempt destroy"),
    )
    assert (delete.parent, destroy.parent, destroy.trace) == ("", delete.id, delete.trace)
    assert not [span for span in collector.spans if span.is_error]
    assert not {
        span.name for span in collector.spans if "health" in span.name or "metrics" in span.name.split("/")
    }


def has_ended(member: Member) -> bool:
    return not member.reference.is_running()


def test_a_collector_that_never_answers_holds_up_nobody(silent: None, product: Product) -> None:
    environment_id = product.curl_create()
    product.wait(environment_id, "ready")
    product.delete(environment_id)
    product.wait(environment_id, "destroyed")
    for name in ("worker", "api"):
        member = product.members[name]
        os.kill(member.pid, signal.SIGTERM)
        until(partial(has_ended, member), f"{name} has ended")
        told = lines(product, name)
        assert len([line for line in told if line["event"] == "traces_in_trouble"]) <= 1
    assert named(lines(product, "worker"), "worker_stopped")
