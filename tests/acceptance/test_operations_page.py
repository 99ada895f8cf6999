"""docs/operations.md: its recipes are run as they stand, on a running product that has the symptom."""

import os
import re
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from tests.acceptance.test_product import Product, running
from tests.support.configs import document
from tests.support.page import OPERATIONS, counts, prose, sections
from tests.support.process_tree import descendants
from tests.support.simulated import EXTERNAL_ID
from tests.support.waiting import GUARD_SECONDS, until

RECIPES = {
    title: [block.text for block in found if block.where == "stack"]
    for title, found in sections(OPERATIONS).items()
    if any(block.where == "stack" for block in found)
}


class Shell:
    """Types the recipes of one section, one block after the other; `ID` is the environment at hand."""

    def __init__(self, product: Product, home: Path) -> None:
        self.product = product
        self._home = home
        self.id = ""

    def types(self, commands: str) -> str:
        """Run commands in bash as they are; returns what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self._home,
            env={**self.product.worker_environment, **self.product.environment, "ID": self.id},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        return done.stdout

    def create(self, **changes: object) -> str:
        """Create an environment with a name of its own; the recipes are about it from now on."""
        config = document(
            **{"name": f"e-{uuid.uuid4().hex[:8]}", "cloud__external_id": EXTERNAL_ID, **changes}
        )
        answer = self.product.http.post("/api/v1/environments", json=config)
        assert answer.status_code == 202, answer.text
        self.id = str(answer.json()["environment_id"])
        return self.id

    @property
    def database_url(self) -> str:
        """Where the service keeps its records."""
        return self.product.worker_environment["DATABASE_URL"]

    def figure(self, series: str) -> float:
        """What the API tells of a series now; 0 if it tells nothing."""
        lines = self.product.http.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{series} "))

    @property
    def status(self) -> str:
        """What the environment is."""
        return str(self.product.get(self.id)["status"])

    def clean_up(self) -> None:
        """Leave nothing in the cloud."""
        if self.id:
            answer = self.product.delete(self.id)
            assert answer.status_code in (200, 202), answer.text
            self.product.wait(self.id, "destroyed")


_CHECKS = {"postgres": "database", "valkey": "queue"}
Symptom = Callable[[Shell], AbstractContextManager[None] | None]


def nothing(_shell: Shell) -> None:
    """All is well."""


def ready(shell: Shell) -> None:
    shell.product.wait(shell.create(), "ready")


def refused(shell: Shell) -> None:
    """The customer's role does not let us in."""
    shell.product.wait(shell.create(cloud__external_id="b9-ffffffffffffffff"), "failed")


@contextmanager
def building(shell: Shell) -> Iterator[None]:
    """A create takes as long as in a cloud, until somebody deletes the environment."""
    product = shell.product

    def hasten() -> None:
        until(lambda: shell.status not in ("queued", "provisioning"), "somebody deletes it")
        product.world.be_slow(0)

    product.world.be_slow(1)
    product.wait_until_it_builds(shell.create())
    with ThreadPoolExecutor() as beside:
        done = beside.submit(hasten)
        yield
        done.result()


def destroying(shell: Shell) -> None:
    ready(shell)
    shell.product.delete(shell.id)


def protected(shell: Shell) -> None:
    shell.product.wait(shell.create(deletion_protection=True), "ready")
    assert shell.product.delete(shell.id).status_code == 409


@contextmanager
def frozen(shell: Shell, member: str) -> Iterator[None]:
    """A process of which nothing moves, for as long as the recipes are run."""
    pid = shell.product.members[member].pid
    processes = [pid, *descendants(pid)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.kill(process, signal.SIGCONT)
    client = shell.product.http
    if member in _CHECKS:
        until(
            lambda: client.get("/health/ready").json()["checks"][_CHECKS[member]]["ok"], f"{member} is back"
        )


@contextmanager
def waiting(shell: Shell) -> Iterator[None]:
    """The worker stands still, and an operation waits."""
    with frozen(shell, "worker"):
        shell.create()
        until(lambda: shell.figure("provisioning_operations_waiting"), "it waits")
        yield
    shell.product.wait(shell.id, "ready")


@contextmanager
def without_workers(shell: Shell) -> Iterator[None]:
    """The worker stands still, and its locks are gone as if it had been killed."""
    with frozen(shell, "worker"):
        with psycopg.connect(shell.database_url) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        until(lambda: shell.figure("provisioning_live_workers") == 0, "no worker lives")
        yield
    until(lambda: shell.figure("provisioning_live_workers") == 1, "the worker lives")


@contextmanager
def refusing(shell: Shell) -> Iterator[None]:
    """Somebody holds the table locked: requests are answered 503 after a second."""
    with psycopg.connect(shell.database_url) as connection:
        connection.execute("LOCK TABLE environments IN ACCESS EXCLUSIVE MODE")
        assert shell.product.http.get("/api/v1/environments").status_code == 503
        yield


@contextmanager
def failing(shell: Shell) -> Iterator[None]:
    """Somebody holds the table locked that scrapes read."""
    with psycopg.connect(shell.database_url) as connection:
        connection.execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
        until(lambda: shell.figure('provisioning_background_failures_total{work="metrics"}'), "it is counted")
        yield


@contextmanager
def saturated(shell: Shell) -> Iterator[None]:
    """More ask than there are threads, and the database keeps all of them."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            assert shell.product.http.get("/api/v1/environments").status_code == 503

    with refusing(shell), ThreadPoolExecutor(CALLERS) as callers:
        asked = [callers.submit(ask) for _ in range(CALLERS)]
        try:
            until(lambda: shell.figure("provisioning_api_requests_waiting"), "requests wait")
            yield
        finally:
            over.set()
        for one in asked:
            one.result()


def long_ago(shell: Shell) -> None:
    """The journal has events of more than 90 days ago."""
    ready(shell)
    with psycopg.connect(shell.database_url) as connection:
        connection.execute("UPDATE events SET at = at - interval '91 days'")


CALLERS = 40
"""More than the API has threads."""
SYMPTOMS: dict[str, Symptom] = {
    "First look": ready,
    "HighProvisioningFailureRate": refused,
    "EnvironmentStuckInProvisioning": building,
    "EnvironmentStuckInDestroying": destroying,
    "ProvisioningDestroyFailed": refused,
    "ProvisioningQueueBacklog": waiting,
    "ProvisioningNoWorkers": without_workers,
    "ProvisioningLeasesLost": refused,
    "ProvisioningAPILatencyHigh": refusing,
    "ProvisioningAPIErrors": refusing,
    "ProvisioningDatabaseDown": lambda shell: frozen(shell, "postgres"),
    "ProvisioningQueueDown": lambda shell: frozen(shell, "valkey"),
    "ProvisioningAPISaturated": saturated,
    "ProvisioningBackgroundFailures": failing,
    "An environment failed": refused,
    "An environment cannot be deleted": protected,
    "A create has to stop now": building,
    "Follow a request": nothing,
    "A node has to be emptied": waiting,
    "The journal grows": long_ago,
}
WITHOUT = {"ProvisioningDestroyFailed", "ProvisioningLeasesLost", "Follow a request"}
"""Titles whose recipes are run without their symptom; the page says so."""
SHOWN = {
    "First look": r"ready",
    "HighProvisioningFailureRate": r"role_refused",
    "EnvironmentStuckInProvisioning": r"Status +provisioning",
    "EnvironmentStuckInDestroying": r"Operation +destroy",
    "ProvisioningDestroyFailed": r"role_refused",
    "ProvisioningQueueBacklog": r"operations_waiting 1",
    "ProvisioningNoWorkers": r"live_workers 0",
    "ProvisioningLeasesLost": r"role_refused",
    "ProvisioningAPILatencyHigh": r'route="/api/v1/environments"} [1-9]\S*\n',
    "ProvisioningAPIErrors": r'status="503"} [1-9]',
    "ProvisioningDatabaseDown": r'"database":\{"ok":false',
    "ProvisioningQueueDown": r'"queue":\{"ok":false',
    "ProvisioningAPISaturated": r"requests_waiting [1-9]",
    "ProvisioningBackgroundFailures": r'work="metrics"} [1-9]',
    "An environment failed": r"role_refused",
    "An environment cannot be deleted": r"destroyed",
    "A create has to stop now": r"cancel|destroy",
    "Follow a request": r"(?i)x-request-id: \w+",
    "A node has to be emptied": r'phase="queued"} 1',
    "The journal grows": r"[1-9]\d* events and",
}
"""What the recipes of each section show of it: that they end well is not enough."""
DESTROYS = {title for title, found in RECIPES.items() if any("env delete" in text for text in found)}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A stack with servers of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        patch.delenv("REDIS_URL", raising=False)
        with running(tmp_path_factory.mktemp("operations") / "stack") as product:
            yield product


@pytest.fixture
def shell(product: Product, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(product, tmp_path)
    yield shell
    shell.clean_up()


def test_every_recipe_is_run() -> None:
    assert set(RECIPES) == set(SYMPTOMS) == set(SHOWN)
    assert set(counts(OPERATIONS)) == {"stack", "cluster", "prometheus", "elsewhere"}
    (told,) = re.findall(r"Run without their symptom: (.+?)\. They expect", prose(OPERATIONS))
    assert {re.sub(r" \(.*\)", "", title) for title in told.split(", ")} == WITHOUT


@pytest.mark.parametrize("title", RECIPES)
def test_recipes_work_as_they_stand(shell: Shell, title: str) -> None:
    symptom = SYMPTOMS[title](shell)
    with symptom or nullcontext():
        shown = "".join(map(shell.types, RECIPES[title]))
    assert re.search(SHOWN[title], shown), shown
    if title in DESTROYS:
        assert shell.status == "destroyed"
