"""The control database is lost for good, and restored from a backup at another address."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML
from tests.acceptance.test_product import Product, process
from tests.support.postgres import PROGRAMS, Servers, own_servers
from tests.support.simulated import ROOT
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.stack import Stack

PROGRAM = [sys.executable, "-c", "from beta9_provisioning.cli.main import main; main()"]


class Rehearsal:
    """A product whose database can be lost, and how long it took to get it back."""

    def __init__(self, product: Product, home: Path) -> None:
        self.product = product
        self.home = home
        self.seconds: dict[str, float] = {}
        environ = Path(f"/proc/{product.members['api'].pid}/environ").read_text()
        self._api = dict(item.split("=", 1) for item in environ.split("\0") if item)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Take the time of something."""
        began = time.monotonic()
        yield
        self.seconds[what] = round(time.monotonic() - began, 1)

    def types(self, url: str, *arguments: str) -> str:
        """Run a command of this program on a database."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.home,
            env={**self._api, "DATABASE_URL": url, "PG_BIN": str(PROGRAMS)},
            capture_output=True,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def create(self, name: str, **cloud: str) -> str:
        """Create an environment like the example's, of another name."""
        document: dict[str, Any] = YAML(typ="safe", pure=True).load(
            (ROOT / "example-config.yaml").read_text()
        )
        document["name"] = name
        document["cloud"].update(cloud)
        document["beta9"]["domain"] = f"{name}.example.com"
        answer = self.product.http.post("/api/v1/environments", json=document)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["environment_id"])

    @contextmanager
    def running(self, url: str) -> Iterator[None]:
        """Run API and worker on another database meanwhile, the API at its old address."""
        at = {"DATABASE_URL": url}
        with (
            process("api", self._api | at, self.home),
            self.product.another_worker(self.home, WORKER_THREADS="4", **at),
        ):
            until(self._is_ready, "the API is ready")
            yield

    def _is_ready(self) -> bool:
        try:
            return self.product.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def until_ready(self, name: str) -> str:
        """Create an environment and wait until it is ready."""
        environment_id = self.create(name)
        self.product.wait(environment_id, "ready")
        return environment_id


@pytest.fixture
def rehearsal(
    tmp_path: Path, servers_of_its_own: Servers, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rehearsal]:
    """A product whose only worker runs one operation at a time, on a database of its own."""
    monkeypatch.setenv("DATABASE_URL", servers_of_its_own.primary.url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("WORKER_THREADS", "1")
    stack = Stack(tmp_path / "stack", lambda _: None, tied=True)
    home = tmp_path / "operator"
    home.mkdir()
    try:
        stack.up(api_port=0, time_scale=0)
        yield Rehearsal(Product(stack), home)
    finally:
        stack.down()


@pytest.fixture
def servers_of_its_own() -> Iterator[Servers]:
    """A PostgreSQL that can be lost."""
    with own_servers() as servers:
        yield servers


def suffix(environment_id: str) -> str:
    """What names of its resources end in."""
    return environment_id[-12:]


@pytest.mark.timeout(400)
def test_a_lost_database_comes_back_at_another_address(
    rehearsal: Rehearsal,
    servers_of_its_own: Servers,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    product, servers = rehearsal.product, servers_of_its_own
    # Environments in every state; the only thread of the only worker builds `under-way`.
    destroyed = rehearsal.until_ready("destroyed")
    product.delete(destroyed)
    product.wait(destroyed, "destroyed")
    ready = rehearsal.until_ready("ready")
    failed = rehearsal.create("failed", external_id="another-one")
    product.wait(failed, "failed")
    product.world.be_slow(1)
    under_way = rehearsal.create("under-way")
    product.wait_until_it_builds(under_way)
    queued = rehearsal.create("queued")
    before = {one: product.get(one) for one in (ready, destroyed, failed, queued)}
    assert before[queued]["status"] == "queued"

    with rehearsal.timed("backup"):
        rehearsal.types(servers.primary.url, "backup", "hourly.backup")

    # Work goes on after it: what was queued is begun, and something new is created.
    with product.another_worker(tmp_path, WORKER_THREADS="2"):
        lost = rehearsal.create("lost")
        product.wait_until_it_builds(lost)
        product.wait_until_it_builds(queued)
        servers.lose_primary()
        began = time.monotonic()
    # No worker of the lost database may be left.
    product.members["worker"].stop()
    product.members["api"].stop()

    new = servers.add_another().url
    with rehearsal.timed("restore"):
        assert "5 environments" in rehearsal.types(new, "restore", "hourly.backup")
    rehearsal.types(new, "db", "init")
    product.world.be_slow(0)
    with rehearsal.running(new):
        rehearsal.seconds["from the loss until the API is ready"] = round(time.monotonic() - began, 1)
        for one in (ready, destroyed, failed):
            told = {**product.get(one), "live_workers": None}
            assert told == {**before[one], "live_workers": None}
        assert product.http.get(f"/api/v1/environments/{lost}").status_code == 404

        # What was under way ends truthfully: whatever was built since, nobody saw it succeed.
        assert product.get(under_way)["error"]["code"] == "worker_lost"
        # What was queued runs; what was built of it meanwhile is in its state, and is not built twice.
        product.wait(queued, "ready")
        numbers = [event["id"] for event in product.events(ready)]
        assert numbers == list(range(1, len(numbers) + 1))

        known = (ready, failed, under_way, queued)
        for one in known:
            assert product.delete(one).status_code == 202
        for one in known:
            product.wait(one, "destroyed")
        # Of what was created after the backup the service knows nothing; it is still there.
        left = " ".join(product.world.leftovers())
        assert f"aws_iam_role beta9-{suffix(lost)}-cluster" in left
        assert [one for one in (*known, destroyed) if suffix(one) in left] == []
    for what, seconds in rehearsal.seconds.items():
        record_property(what, seconds)
