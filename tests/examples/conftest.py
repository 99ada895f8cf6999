"""A simulated cloud, and for those who type commands the genuine AWS CLI, installed for them alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.test_product import Product, running
from tests.support.documents import ROOT
from tests.support.sealing import unsealed
from tests.support.simulated import ACCOUNT
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_simulator.cloud.api import AwsApi, serve
from beta9_simulator.cloud.principals import Principal, add_principal
from beta9_simulator.cloud.store import Store
from beta9_simulator.cloud.templates import random_text

Holding = dict[tuple[str, str, str], Any]


class NotRefused(AssertionError):
    """A command that had to be refused was not."""


@dataclass
class Person:
    """Types commands in bash; ``variables`` hold who that is, and what else is set for it."""

    home: Path
    programs: Path
    variables: dict[str, str] = field(default_factory=dict)

    def with_variables(self, name: str, **variables: str) -> "Person":
        """Return somebody with a home of their own, where the AWS CLI keeps what it was given."""
        home = self.home / name
        home.mkdir()
        return Person(home, self.programs, self.variables | variables)

    def types(self, commands: str) -> str:
        """Run commands as they are; return what they print, without the last line's end."""
        done = self.tries(commands)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def is_refused(self, commands: str) -> str:
        """Run a command of the AWS CLI that fails; return the code of the error."""
        done = self.tries(commands)
        if done.returncode == 0:
            raise NotRefused(done.stdout)
        assert "An error occurred (" in done.stderr, done.stderr
        return done.stderr.partition("An error occurred (")[2].partition(")")[0]

    def tries(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands, whatever comes of it."""
        environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            # Nobody is asked who this machine is.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            **self.variables,
        }
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )


@pytest.fixture(scope="session")
def aws_cli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with `aws` as the API's image has it: the same packages, by their hashes."""
    environment, uv = tmp_path_factory.mktemp("awscli") / "venv", Path(sys.executable).with_name("uv")
    packages = ROOT / "containers" / "requirements-awscli.txt"
    installs = [
        "pip",
        "install",
        "--python",
        str(environment / "bin" / "python"),
        "--require-hashes",
        "-r",
        str(packages),
    ]
    for command in (["venv", str(environment)], installs):
        done = subprocess.run(
            [uv, *command, "--quiet"], env=unsealed(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"Is the Python package index reachable from here? {done.stderr}"
    return environment / "bin"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The simulated cloud's store, empty; a module's tests share it, for the AWS CLI takes its time."""
    return Store(tmp_path_factory.mktemp("store") / "cloud.db")


@pytest.fixture(scope="module")
def api(store: Store) -> Iterator[AwsApi]:
    """Its AWS API; every account in it is empty."""
    running = serve(store.path)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def anybody(api: AwsApi, aws_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Somebody who reaches the cloud, and has no key."""
    variables = {"AWS_ENDPOINT_URL": api.url, "AWS_DEFAULT_REGION": "us-east-1"}
    return Person(tmp_path_factory.mktemp("anybody"), aws_cli, variables)


def administrator(store: Store, account: str, anybody: Person) -> Person:
    """Return who may do everything in an account, whatever is evaluated: its root user."""
    arn = f"arn:aws:iam::{account}:root"
    root = Principal(f"AKIA{random_text('upper', 16)}", random_text("secret", 40), "", arn, account, None, "")
    add_principal(store, root)
    key = {"AWS_ACCESS_KEY_ID": root.access_key, "AWS_SECRET_ACCESS_KEY": root.secret_key}
    return anybody.with_variables(f"administrator-of-{account}", **key)


@pytest.fixture
def product(
    tmp_path: Path, database_url: str, clean_database: None, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Product]:
    """A stack of its own, whose role may do what the published policies say."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with running(tmp_path / "stack") as product:
        yield product


@pytest.fixture
def owner(product: Product, aws_cli: Path, tmp_path: Path) -> Person:
    """Who administrates the account, with programs for it, in a copy of the checkout's examples."""
    simulator, tools = product.stack.simulator(), ensure_tools(ROOT)
    home, programs = tmp_path / "owner", tmp_path / "programs"
    home.mkdir()
    programs.mkdir()
    for program in (Path(find_terraform()), tools.helm, tools.kubectl, aws_cli / "aws"):
        (programs / program.name).symlink_to(program)
    variables = {
        "AWS_ENDPOINT_URL": simulator.aws_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "BETA9_SIM_STORE": simulator.store,
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": simulator.terraform_cli_config,
        "TF_CLI_ARGS": "-no-color",
    }
    anybody = Person(home, programs, variables)
    person = administrator(product.world.store, ACCOUNT, anybody)
    shutil.copytree(ROOT / "examples", person.home / "examples")
    return person


def held(store: Store) -> Holding:
    """Return all that the account holds: what it is, its tags, and what is going on with it."""
    return {
        (one.type, one.region, one.id): (one.name, one.state, one.tags, one.status)
        for one in store.find(account=ACCOUNT)
    }


def post(product: Product, document: str) -> str:
    answer = product.http.post(
        "/api/v1/environments", content=document.encode(), headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["environment_id"])
