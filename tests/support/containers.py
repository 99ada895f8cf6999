"""Containers of an engine that `make test-containers` has started, by its genuine client."""

import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from tests.support.sealing import unsealed
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
API = "beta9-provisioning-api:latest"
WORKER = "beta9-provisioning-worker:latest"
# What the images must bear in production: no capability, nothing writable but a memory file system.
RESTRICTED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
# As the deployment guide has it run in the API's container.
INIT_DB = (
    "from models.database import init_db; from api.config import settings; init_db(settings.database_url)"
)
_DISTRIBUTIONS = """
import json
from importlib.metadata import distributions
print(json.dumps({one.name: one.version for one in distributions()}))
"""
_SECONDS = 600


def command(
    *arguments: str, check: bool = True, variables: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program in the checkout, with the variables that lead to the engine."""
    done = subprocess.run(
        arguments,
        cwd=ROOT,
        env={**unsealed(), **(variables or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert not check or done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done


def docker(*arguments: str, check: bool = True, stdin: str = "") -> str:
    """Run the engine's client, and return what it prints."""
    return command("docker", *arguments, check=check, stdin=stdin).stdout.strip()


def inspect(kind: str, name: str) -> Any:
    """Return what the engine knows of an image, container or network."""
    (found,) = json.loads(docker(kind, "inspect", name))
    return found


def once(image: str, *arguments: str, options: Sequence[str] = RESTRICTED) -> str:
    """Run a command in a container of its own, restricted as in production, and return what it prints."""
    return docker("run", "--rm", *options, image, *arguments)


def installed(image: str, python: str = "python") -> dict[str, str]:
    """Return names and versions of the packages of one of the image's Pythons."""
    found = json.loads(once(image, python, "-c", _DISTRIBUTIONS))
    return {canonicalize_name(name): version for name, version in found.items()}


@dataclass(frozen=True)
class Container:
    """A container that runs in the background."""

    name: str

    def exec(self, *arguments: str, check: bool = True) -> str:
        """Run a command in it, and return what it prints."""
        return docker("exec", self.name, *arguments, check=check)

    @property
    def state(self) -> Any:
        """What the engine says of its process: Running, ExitCode, OOMKilled, Health."""
        return inspect("container", self.name)["State"]

    @property
    def log(self) -> str:
        """All that it has written to standard output and standard error."""
        done = command("docker", "logs", self.name)
        return done.stdout + done.stderr

    def until_healthy(self) -> None:
        """Wait until its health check says so."""

        def healthy() -> bool:
            state = self.state
            assert state["Running"], self.log
            return bool(state["Health"]["Status"] == "healthy")

        until(healthy, f"{self.name} is healthy")

    def stop(self) -> int:
        """Tell it to stop, and return its exit code."""
        docker("stop", "--time", "60", self.name)
        return int(self.state["ExitCode"])


@contextmanager
def running(
    image: str, *arguments: str, options: Sequence[str] = RESTRICTED, **variables: str
) -> Iterator[Container]:
    """Run a container meanwhile; afterwards it and its volumes are gone."""
    name = f"test-{secrets.token_hex(4)}"
    given = [part for key, value in variables.items() for part in ("--env", f"{key}={value}")]
    docker("run", "--detach", "--name", name, *options, *given, image, *arguments)
    try:
        yield Container(name)
    finally:
        docker("rm", "--force", "--volumes", name)


@contextmanager
def network() -> Iterator[str]:
    """Make a network meanwhile, in which containers find each other by name."""
    name = f"test-{secrets.token_hex(4)}"
    docker("network", "create", name)
    try:
        yield name
    finally:
        docker("network", "rm", name)
