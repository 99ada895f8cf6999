"""One request followed through API, queue and worker, all of them processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.acceptance.test_product import Product, running
from tests.support.loglines import Line, written
from tests.support.simulated import ROOT

CONFIG = YAML(typ="safe", pure=True).load((ROOT / "example-config.yaml").read_text())
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def product(
    tmp_path: Path, database_url: str, clean_database: None, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Product]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with running(tmp_path / "stack") as product:
        yield product


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
