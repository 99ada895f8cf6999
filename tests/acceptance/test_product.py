"""The product as its users run it: separate API and worker processes, HTTP, curl, kubectl, signals."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.simulated import ROOT, World
from tests.support.user import User
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.stack import Stack
from beta9_provisioning.local.state import Member


class Product(User):
    """A running stack, spoken to over HTTP."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        state = stack.state()
        assert state is not None
        self.url = state.api_url
        self.members: dict[str, Member] = {member.name: member for member in state.members}
        self.environment = state.environment
        super().__init__(self.url)
        self.world = World(stack.simulator())
        environ = Path(f"/proc/{self.members['worker'].pid}/environ").read_text()
        self.worker_environment = dict(item.split("=", 1) for item in environ.split("\0") if item)

    @contextmanager
    def another_worker(self, directory: Path, **changes: str) -> Iterator[None]:
        """Run one more worker, set up as the stack's own but for some variables."""
        # It judges nobody before it has watched for one lease of its own.
        own = {"WORKER_METRICS_PORT": "0", "LEASE_SECONDS": "20"}
        with process("worker", self.worker_environment | own | changes, directory):
            yield

    def curl_create(self) -> str:
        """Create the example environment as the deployment guide types it."""
        command = [
            *("curl", "-sS", "-X", "POST", f"{self.url}/api/v1/environments"),
            *("-H", "Content-Type: application/json", "-d", "@example-config.yaml"),
            *("-w", "\n%{http_code}"),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        body, code = done.stdout.rsplit("\n", 1)
        answer = json.loads(body)
        assert code == "202", answer
        assert answer["status"] == "queued"
        return str(answer["environment_id"])


@contextmanager
def process(name: str, environment: dict[str, str], directory: Path) -> Iterator[None]:
    """Run an API or a worker meanwhile, which must not end by itself."""
    log = directory / f"another-{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", f"beta9_provisioning.{name}"],
            env=environment,
            cwd=directory,
            stdout=output,
            stderr=output,
        )
    try:
        yield
        assert child.poll() is None, log.read_text()
    finally:
        child.terminate()
        child.wait(GUARD_SECONDS)


@contextmanager
def running(base: Path) -> Iterator[Product]:
    """Run a product meanwhile, with the servers that the variables name; nothing may be left in its cloud."""
    stack = Stack(base, lambda _: None, tied=True)
    stack.up(api_port=0, time_scale=0)
    try:
        product = Product(stack)
        yield product
        assert product.world.leftovers() == []
    finally:
        stack.down()


def test_from_curl_to_ready_to_destroyed(product: Product, tmp_path: Path) -> None:
    environment_id = product.curl_create()
    ready = product.wait(environment_id, "ready")
    assert ready["outputs"]["gateway_url"] == "https://beta9.example.com"
    assert ready["error"] is None
    assert "password" not in json.dumps(ready["outputs"])

    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(product.http.get(f"/api/v1/environments/{environment_id}/kubeconfig").text)
    command = [
        "kubectl",
        "--kubeconfig",
        str(kubeconfig),
        "get",
        "deployments",
        "--all-namespaces",
        "-o",
        "name",
    ]
    shell = {**product.environment, "HOME": str(tmp_path)}
    found = subprocess.run(command, env=shell, capture_output=True, text=True, check=False)
    assert "deployment.apps/beta9-gateway" in found.stdout, found.stderr

    assert product.delete(environment_id).status_code == 202
    assert product.wait(environment_id, "destroyed")["outputs"] == {}
    assert product.delete(environment_id).status_code == 200
    numbers = [event["id"] for event in product.events(environment_id)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_another_worker_goes_on_with_what_a_killed_one_had(product: Product, tmp_path: Path) -> None:
    product.world.be_slow(1)
    environment_id = product.curl_create()
    product.wait_until_it_builds(environment_id)
    worker = product.members["worker"]
    os.kill(worker.pid, signal.SIGKILL)
    with product.another_worker(tmp_path):
        product.wait_for_event(environment_id, "operation.resumed")
        assert product.get(environment_id)["status"] == "provisioning"
        product.world.be_slow(0)
        product.wait(environment_id, "ready")
        assert product.delete(environment_id).status_code == 202
        product.wait(environment_id, "destroyed")


def test_a_delete_during_the_create_stops_it_and_leaves_nothing(product: Product) -> None:
    product.world.be_slow(1)
    environment_id = product.curl_create()
    product.wait_until_it_builds(environment_id)
    first, second = product.delete(environment_id), product.delete(environment_id)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["operation"]["id"] == second.json()["operation"]["id"]
    assert first.json()["status"] == "destroy_queued"
    product.world.be_slow(0)
    product.wait(environment_id, "destroyed")
    told = [
        event["data"]["to"]
        for event in product.events(environment_id)
        if event["type"] == "environment.status"
    ]
    assert told == ["queued", "provisioning", "destroy_queued", "destroying", "destroyed"]


def test_another_worker_goes_on_with_what_a_stopped_one_had(product: Product, tmp_path: Path) -> None:
    product.world.be_slow(1)
    environment_id = product.curl_create()
    product.wait_until_it_builds(environment_id)
    worker = product.members["worker"]
    os.kill(worker.pid, signal.SIGTERM)
    product.wait_for_event(environment_id, "operation.interrupted")
    until(lambda: not worker.reference.is_running(), "the worker has ended")
    assert product.get(environment_id)["status"] == "provisioning"
    with product.another_worker(tmp_path):
        product.world.be_slow(0)
        product.wait(environment_id, "ready")
        product.delete(environment_id)
        product.wait(environment_id, "destroyed")
