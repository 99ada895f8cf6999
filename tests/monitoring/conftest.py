"""A local stack under work with two replicas of the API and two workers, and a Prometheus that scrapes them.

Without Debian's packages these tests are skipped; `make test-containers` installs them, or says why not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML
from tests.acceptance.test_product import Product
from tests.acceptance.test_product import running as product_running
from tests.monitoring.genuine import MISSING, Prometheus, prometheus, quick_rules, scrape_config
from tests.support.clusters import ROOT
from tests.support.proxy import proxy_to
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.ports import free_port

PACKAGES = "Debian's packages prometheus and prometheus-alertmanager"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs programs that are missing, with a sentence."""
    if MISSING:
        reason = f"{', '.join(MISSING)} not found on PATH: install {PACKAGES}"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class Watched:
    """What Prometheus has seen of the stack, from its first scrape to the end of the work.

    Attributes:
        replicas: addresses of the API; the second one runs two processes.
        workers: addresses of the workers' metrics, while they lived.
        expositions: what each of these answered to a scrape.
        ready: how many environments became ready.
    """

    prometheus: Prometheus
    since: float
    till: float
    replicas: list[str]
    workers: list[str]
    expositions: dict[str, str]
    ready: int

    def ever(self, query: str) -> list[float]:
        """All values that a query had meanwhile."""
        return self.prometheus.ever(query, self.since, self.till)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Environments provisioned, refused and destroyed; the database away from one replica; then no worker."""
    directory = tmp_path_factory.mktemp("watched")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", "REDIS_URL"):
            patch.delenv(name, raising=False)  # a database and a queue of its own
        product = stack.enter_context(product_running(directory / "stack"))
        yield stack.enter_context(_worked(product, directory))


@contextmanager
def _worked(product: Product, directory: Path) -> Iterator[Watched]:
    api = variables_of(product.members["api"].pid)
    ports = {name: free_port() for name in ("api", "worker")}
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_to(api["DATABASE_URL"]))
        second = {**api, "DATABASE_URL": proxy.url, "API_PORT": str(ports["api"]), "API_PROCESSES": "2"}
        stack.enter_context(process("api", second, directory))
        replicas = [f"127.0.0.1:{product.members['api'].port}", f"127.0.0.1:{ports['api']}"]
        until(lambda: _is_up(f"http://{replicas[1]}/health/ready"), "the second replica is ready")
        workers = [f"127.0.0.1:{product.members['worker'].port}", f"127.0.0.1:{ports['worker']}"]
        config = scrape_config(
            {"provisioning-api": replicas, "provisioning-worker": workers},
            quick_rules(directory / "rules.yml"),
        )
        watching = stack.enter_context(prometheus(directory, config))
        since = time.time()
        until(lambda: watching.values("sum(up)") == [3], "the API and the first worker are scraped")
        # Of one worker alone: a histogram whose first sample is 1 has not risen.
        done = [create(product, "first"), create(product, "second")]
        for environment_id in done:
            product.wait(environment_id, "ready")
        product.wait(create(product, "refused", external_id="b9-of-somebody-else"), "failed")
        for environment_id in done:
            product.events(environment_id)
            product.delete(environment_id)
            product.wait(environment_id, "destroyed")

        beside = {
            **product.worker_environment,
            "DATABASE_URL": proxy.url,
            "WORKER_METRICS_PORT": str(ports["worker"]),
        }
        other = stack.enter_context(process("worker", beside, directory))
        until(lambda: watching.values("sum(up)") == [4], "both workers are scraped")
        proxy.cut()
        until(lambda: _has_failed(watching, replicas[1]), "both failed, and it is told")
        proxy.heal()
        until(lambda: watching.values("sum(provisioning_database_up)") == [2], "they reach the database")
        assert httpx.get(f"http://{replicas[1]}/api/v1/environments").status_code == 200
        expositions = {
            address: httpx.get(f"http://{address}/metrics").text for address in (*replicas, *workers)
        }

        other.terminate()
        other.wait(GUARD_SECONDS)
        product.members["worker"].stop()
        create(product, "waits")
        until(lambda: watching.values("sum(provisioning_operations_waiting)") == [2], "both tell what waits")
        until(lambda: watching.values("sum(redis_queue_length)") == [2], "both tell what is in the queue")
        until(lambda: bool(watching.values(QUEUED)), "it is seen as queued")
        yield Watched(watching, since, time.time(), replicas, workers, expositions, len(done))


QUEUED = 'provisioning_environment_created_at{status="queued"}'


def _has_failed(watching: Prometheus, replica: str) -> bool:
    """Ask the replica that has no database; tell whether all consequences are in Prometheus."""
    assert httpx.get(f"http://{replica}/api/v1/environments", timeout=GUARD_SECONDS).status_code == 503
    consequences = (
        'sum(rate(provisioning_api_requests_total{status="503"}[1m])) > 0',
        'increase(provisioning_background_failures_total{job="provisioning-worker"}[10m]) > 0',
        'ALERTS{alertname="ProvisioningBackgroundFailures", alertstate="firing"}',
    )
    return all(watching.values(query) for query in consequences)


def create(product: Product, name: str, **cloud: str) -> str:
    """Create the example environment under a name; returns its id."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "example-config.yaml")
    document["name"] = name
    document["cloud"] |= cloud
    answer = product.http.post("/api/v1/environments", json=document)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["environment_id"])


def variables_of(pid: int) -> dict[str, str]:
    """The environment of a process that runs."""
    environ = Path(f"/proc/{pid}/environ").read_text()
    return dict(item.split("=", 1) for item in environ.split("\0") if item)


@contextmanager
def process(module: str, variables: Mapping[str, str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one more API or worker meanwhile, in a directory of its own."""
    log = directory / f"{module}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", f"beta9_provisioning.{module}"],
            env={"PATH": os.environ["PATH"], **variables},
            cwd=directory,
            stdout=output,
            stderr=output,
        )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(GUARD_SECONDS)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=GUARD_SECONDS).is_success
    except httpx.TransportError:
        return False
