"""docs/operations.md: its recipes are run as they stand, on a running product that has the symptom."""

import os
import re
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from tests.acceptance.test_product import Product, running
from tests.support.configs import document
from tests.support.page import OPERATIONS, counts, sections
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
    def status(self) -> str:
        """What the environment is."""
        return str(self.product.get(self.id)["status"])

    def clean_up(self) -> None:
        """Leave nothing in the cloud."""
        if self.id:
            answer = self.product.delete(self.id)
            assert answer.status_code in (200, 202), answer.text
            self.product.wait(self.id, "destroyed")


Symptom = Callable[[Shell], AbstractContextManager[None] | None]


def nothing(_shell: Shell) -> None:
    """All is well."""


def ready(shell: Shell) -> None:
    shell.product.wait(shell.create(), "ready")


def refused(shell: Shell) -> None:
    """The customer's role does not let us in."""
    shell.product.wait(shell.create(cloud__external_id="b9-ffffffffffffffff"), "failed")


def building(shell: Shell) -> None:
    """Creates that are under way take as long as those of a cloud."""
    shell.product.world.be_slow(1)
    shell.product.wait_until_it_builds(shell.create())
    shell.product.world.be_slow(0)


def destroying(shell: Shell) -> None:
    ready(shell)
    shell.product.delete(shell.id)


def protected(shell: Shell) -> None:
    shell.product.wait(shell.create(deletion_protection=True), "ready")
    assert shell.product.delete(shell.id).status_code == 409


@contextmanager
def frozen(shell: Shell, member: str) -> Iterator[None]:
    """A server of which nothing moves, for as long as the recipes are run."""
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
    until(lambda: client.get("/health/ready").json()["checks"][_CHECKS[member]]["ok"], f"{member} is back")


def refusing(shell: Shell) -> None:
    """Somebody holds the table locked: requests are answered 503."""
    with psycopg.connect(shell.product.worker_environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE environments IN ACCESS EXCLUSIVE MODE")
        assert shell.product.http.get("/api/v1/environments").status_code == 503


_CHECKS = {"postgres": "database", "valkey": "queue"}
SYMPTOMS: dict[str, Symptom] = {
    "First look": ready,
    "HighProvisioningFailureRate": refused,
    "EnvironmentStuckInProvisioning": building,
    "EnvironmentStuckInDestroying": destroying,
    "ProvisioningQueueBacklog": nothing,
    "ProvisioningLeasesLost": refused,
    "ProvisioningAPILatencyHigh": nothing,
    "ProvisioningAPIErrors": refusing,
    "ProvisioningDatabaseDown": lambda shell: frozen(shell, "postgres"),
    "ProvisioningQueueDown": lambda shell: frozen(shell, "valkey"),
    "ProvisioningDatabasePoolExhausted": nothing,
    "ProvisioningBackgroundFailures": nothing,
    "An environment failed": refused,
    "An environment cannot be deleted": protected,
    "A create has to stop now": building,
    "Follow a request": nothing,
    "A node has to be emptied": nothing,
    "The journal grows": nothing,
}
SHOWN = {
    "First look": r"Created|ready",
    "HighProvisioningFailureRate": r'outcome="failed",reason="access_refused"} [1-9]',
    "EnvironmentStuckInProvisioning": r"provisioning",
    "ProvisioningAPIErrors": r'status="503"} [1-9]',
    "ProvisioningDatabaseDown": r'"database":\{"ok":false',
    "ProvisioningQueueDown": r'"queue":\{"ok":false',
    "An environment failed": r"role_refused",
    "Follow a request": r"(?i)x-request-id: \w+",
    "A node has to be emptied": r"nothing waits or runs",
}
"""What the recipes of a section show, where it is not enough that they end well."""
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
    assert set(RECIPES) == set(SYMPTOMS)
    assert set(counts(OPERATIONS)) == {"stack", "cluster", "elsewhere"}


@pytest.mark.parametrize("title", RECIPES)
def test_recipes_work_as_they_stand(shell: Shell, title: str) -> None:
    symptom = SYMPTOMS[title](shell)
    with symptom or nullcontext():
        shown = "".join(map(shell.types, RECIPES[title]))
    assert re.search(SHOWN.get(title, ""), shown), shown
    if title in DESTROYS:
        assert shell.status == "destroyed"
