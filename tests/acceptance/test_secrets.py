"""No secret of the cloud or of a cluster is written anywhere, not even when a worker is killed."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import Engine, text
from tests.acceptance.test_product import Product, running
from tests.support.secrets import Secrets
from tests.support.traces import Traces
from tests.support.waiting import until

from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.operations.records.model import Base


@pytest.fixture
def product(
    tmp_path: Path, database_url: str, clean_database: None, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Product]:
    """A stack that tells as much as it can, whose temporary files are its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with running(tmp_path / "stack") as product:
        yield product


def add_of_cluster(secrets: Secrets, product: Product, environment_id: str, directory: Path) -> None:
    """Note what the environment generated for itself, which only its cluster knows."""
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(product.http.get(f"/api/v1/environments/{environment_id}/kubeconfig").text)
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "--namespace=beta9", "get", "secret"]
    done = subprocess.run(
        [*command, "beta9-generated", "--output=json"],
        env={**product.environment, "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for name, value in json.loads(done.stdout)["data"].items():
        secrets.add(name, base64.b64decode(value).decode())


def told(product: Product, environment_id: str) -> Iterator[tuple[str, bytes]]:
    """Yield what API and worker answer."""
    one = f"/api/v1/environments/{environment_id}"
    for path in ("/health/ready", "/metrics", "/api/v1/environments", one, f"{one}/kubeconfig"):
        yield path, product.http.get(path).content
    yield "events", json.dumps(product.events(environment_id)).encode()
    port = product.members["worker"].port
    yield "the worker's metrics", httpx.get(f"http://127.0.0.1:{port}/metrics").content


def stored(engine: Engine, redis_url: str) -> Iterator[tuple[str, bytes]]:
    """Yield every row of the database, and all of the queue."""
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            rows = connection.execute(text(f"SELECT row_to_json(one)::text FROM {table.name} AS one"))
            yield f"table {table.name}", "\n".join(rows.scalars()).encode()
    with redis.Redis.from_url(redis_url) as client:
        yield "the queue", b"\n".join(dump for key in client.scan_iter() if (dump := client.dump(key)))


def test_a_whole_life_at_debug_writes_no_secret_anywhere(
    collector: Traces, product: Product, engine: Engine, redis_url: str, tmp_path: Path
) -> None:
    """At LOG_LEVEL=DEBUG the log had the customer's session token and the database's master password."""
    secrets = Secrets()
    environment_id = product.curl_create()
    product.wait(environment_id, "ready")
    secrets.add_of_cloud(product.world.store)
    add_of_cluster(secrets, product, environment_id, tmp_path)
    answers = list(told(product, environment_id))
    places = (product.stack.logs, product.stack.directory / "work", tmp_path / "tmp")
    leaks = list(secrets.in_files(*places))

    assert product.delete(environment_id).status_code == 202
    product.wait(environment_id, "destroyed")
    secrets.add_of_cloud(product.world.store)
    assert set(secrets.found) == {
        *("access key", "session token", "master password", "redis password"),
        *("database_password", "encryption_key"),
    }
    assert all(secrets.found.values())
    until(lambda: collector.named("attempt destroy"), "all spans have come")
    sent = ("traces", b"\n".join(collector.bodies))
    for place, content in [*answers, *told(product, environment_id), *stored(engine, redis_url), sent]:
        leaks += secrets.in_text(place, content)
    leaks += secrets.in_files(*places)
    assert leaks == []


HELM = """#!/bin/sh
case "$1 $2" in "upgrade beta9") ;; *) exec %(helm)s "$@" ;; esac
trap 'exit 1' TERM
cat "$KUBECONFIG" > /dev/null
cat > %(values)s.new
mv %(values)s.new %(values)s
while :; do sleep 0.1; done
"""


def test_a_worker_killed_while_it_installs_beta9_leaves_no_file_with_a_secret(
    product: Product, tmp_path: Path
) -> None:
    """A file with the database's password and the encryption key stayed until a destroy on the same host."""
    first = product.members["worker"]
    os.kill(first.pid, signal.SIGTERM)
    until(lambda: not ProcessRef(first.pid, first.started).is_running(), "the stack's own worker has ended")
    helm, received = tmp_path / "helm", tmp_path / "received.json"
    helm.write_text(HELM % {"helm": product.worker_environment["HELM_BINARY"], "values": received})
    helm.chmod(0o755)
    secrets = Secrets()
    with (tmp_path / "killed-worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "beta9_provisioning.worker"],
            env={**product.worker_environment, "WORKER_METRICS_PORT": "0", "HELM_BINARY": str(helm)},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    try:
        environment_id = product.curl_create()
        until(lambda: received.exists() or worker.poll() is not None, "Helm installs Beta9")
    finally:
        worker.kill()
        worker.wait()
    postgres = json.loads(received.read_text())["config"]["database"]["postgres"]
    secrets.add("database_password", postgres["password"])
    secrets.add("encryption_key", postgres["encryptionKey"])
    secrets.add_of_cloud(product.world.store)
    with product.another_worker(tmp_path):
        product.wait(environment_id, "ready")
        leaks = list(secrets.in_files(product.stack.directory / "work", tmp_path / "tmp", product.stack.logs))
        assert product.delete(environment_id).status_code == 202
        product.wait(environment_id, "destroyed")
    assert leaks == []
