"""Local stacks for the benchmark, apart from the user's own, and the configuration that is measured."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.processes import BenchmarkFailed
from beta9_provisioning.client.client import Client
from beta9_provisioning.lifecycle import FINAL, OperationStatus
from beta9_provisioning.local import variables
from beta9_provisioning.local.stack import Stack
from beta9_provisioning.schemas.environment import Environment
from beta9_provisioning.settings import Settings
from beta9_simulator.handle import Simulator

ROOT = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Running:
    """A stack that is up, and a client of its API."""

    client: Client
    simulator: Simulator
    directory: Path


def seal_environment() -> None:
    """Remove from this process's environment what would lead the stack out of itself or change its figures.

    That is every setting of the product, such as DATABASE_URL, and every variable for AWS or Terraform.
    """
    settings = {name.upper() for name in Settings.model_fields}
    for name in list(os.environ):
        if name in settings or name.startswith(("AWS_", "TF_")):
            del os.environ[name]
    # The measured user has a thousand environments and more.
    os.environ["MAX_ENVIRONMENTS_PER_USER"] = "1000000"
    os.environ["LOG_LEVEL"] = "WARNING"


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a directory inside the checkout that is removed at the end."""
    parent = ROOT / ".local"
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def running_stack(time_scale: float) -> Iterator[Running]:
    """Run the local stack on free ports, and lead this process's own AWS clients into its cloud."""
    with scratch() as directory:
        stack = Stack(directory, lambda _: None, tied=True)
        state = stack.up(api_port=0, time_scale=time_scale)
        try:
            simulator = stack.simulator()
            os.environ.update(variables.cloud(simulator))
            with Client(state.api_url, timeout=60) as client:
                yield Running(client, simulator, directory)
        finally:
            stack.down()


def example() -> dict[str, Any]:
    """Return the example configuration, which is what all sections measure."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "example-config.yaml").read_text())
    return document


def wait_until_over(client: Client, environment_id: str, timeout: float = 300) -> Environment:
    """Wait until no operation of the environment is running, and return it.

    Polls rather than follows the events, so that the wait takes little from what is measured.

    Raises:
        BenchmarkFailed: `timeout` seconds have passed.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = client.get(environment_id)
        if found.operation.status in FINAL:
            return found
        time.sleep(_POLL_SECONDS)
    raise BenchmarkFailed(f"the environment was still {found.status} after {timeout:g} s")


def require_success(found: Environment) -> None:
    """Raise `BenchmarkFailed` unless the environment's latest operation succeeded."""
    if found.operation.status is not OperationStatus.SUCCEEDED:
        why = f"{found.error.message} {found.error.detail}" if found.error else "no error was given"
        raise BenchmarkFailed(f"the {found.operation.kind} {found.operation.status}: {why}")
