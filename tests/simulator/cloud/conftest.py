"""A simulated cloud of one's own for every test, and genuine Terraform that works on it."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.api import AwsApi, serve
from beta9_simulator.cloud.mirror import cli_config, install_mirror
from beta9_simulator.cloud.seeding import Seeded, seed
from beta9_simulator.cloud.store import Store

DEADLINE_SECONDS = 120


@dataclass
class Terraform:
    """Runs Terraform in a directory against a store, with an environment that holds nothing else of
    Terraform's.
    """

    directory: Path
    rc: Path
    seeded: Seeded
    store: Store
    initialised: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return {
            **kept,
            "TF_CLI_CONFIG_FILE": str(self.rc),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "BETA9_SIM_STORE": str(self.store.path),
            "AWS_ACCESS_KEY_ID": self.seeded.access_key,
            "AWS_SECRET_ACCESS_KEY": self.seeded.secret_key,
            **self.extra,
        }

    def write(
        self,
        resources: dict[str, dict[str, Any]],
        *,
        provider: dict[str, Any] | None = None,
        backend: dict[str, Any] | None = None,
        outputs: dict[str, str] | None = None,
        imports: list[dict[str, str]] | None = None,
    ) -> None:
        """Write the configuration; the provider assumes the customer's role unless told otherwise."""
        role = {"role_arn": self.seeded.role_arn, "external_id": self.seeded.external_id}
        terraform: dict[str, Any] = {
            "required_providers": {"aws": {"source": "hashicorp/aws", "version": "6.69.1"}}
        }
        if backend:
            terraform["backend"] = {"s3": backend}
        provider = {"region": "us-east-1", "assume_role": [role], **(provider or {})}
        document: dict[str, Any] = {"terraform": terraform, "provider": {"aws": [provider]}}
        if resources:
            document["resource"] = resources
        if outputs:
            document["output"] = {name: {"value": value} for name, value in outputs.items()}
        if imports:
            document["import"] = imports
        (self.directory / "main.tf.json").write_text(json.dumps(document))

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run Terraform; return what it printed. ``fails`` says which outcome is wanted."""
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, printed
        return printed

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start Terraform in a process group of its own."""
        return subprocess.Popen(
            ["terraform", *arguments],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def init(self) -> None:
        """Initialise the directory; without a backend that is the same everywhere, and copied."""
        if '"backend"' in (self.directory / "main.tf.json").read_text():
            self.run("init", "-no-color", "-input=false")
            return
        shutil.copytree(self.initialised, self.directory, symlinks=True, dirs_exist_ok=True)

    def apply(self, *, fails: bool = False) -> str:
        return self.run("apply", "-auto-approve", "-no-color", "-input=false", fails=fails)

    def destroy(self, *, fails: bool = False) -> str:
        return self.run("destroy", "-auto-approve", "-no-color", "-input=false", fails=fails)

    def plan_changes(self) -> list[tuple[str, list[str]]]:
        """Return what a plan would do, as (address, actions) without those it would leave alone."""
        self.run("plan", "-no-color", "-input=false", "-out=plan")
        plan = json.loads(self.run("show", "-json", "plan"))
        changes = [(each["address"], each["change"]["actions"]) for each in plan.get("resource_changes", [])]
        return [(address, actions) for address, actions in changes if actions != ["no-op"]]

    def state(self) -> dict[str, Any]:
        """Return the values of the resources in state by address."""
        shown = json.loads(self.run("show", "-json"))
        resources = shown.get("values", {}).get("root_module", {}).get("resources", [])
        return {each["address"]: each for each in resources}


@pytest.fixture(scope="session")
def terraform_rc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("mirror")
    install_mirror(directory, SCHEMA_FILE)
    return cli_config(directory)


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory, terraform_rc: Path) -> Path:
    """What `terraform init` leaves in a directory: the provider's place and its lock file."""
    directory = tmp_path_factory.mktemp("initialised")
    store = Store(tmp_path_factory.mktemp("store") / "cloud.db")
    terraform = Terraform(directory, terraform_rc, seed(store), store, directory)
    terraform.write({})
    terraform.run("init", "-no-color", "-input=false")
    (directory / "main.tf.json").unlink()
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cloud.db")


@pytest.fixture
def seeded(store: Store) -> Seeded:
    return seed(store)


@pytest.fixture
def terraform(
    tmp_path: Path, terraform_rc: Path, store: Store, seeded: Seeded, initialised: Path
) -> Terraform:
    directory = tmp_path / "work"
    directory.mkdir()
    return Terraform(directory, terraform_rc, seeded, store, initialised)


@pytest.fixture
def api(store: Store, seeded: Seeded) -> Iterator[AwsApi]:
    running = serve(store.path)
    yield running
    running.stop()


@pytest.fixture
def stop_group() -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes put into this list are killed, with their group, when the test ends."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()
