"""The containers of docker-compose.yaml, in a folder of their own, on the engine that DOCKER_HOST names."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML
from tests.support import sealing
from tests.support.simulated import ROOT
from tests.support.user import User
from tests.support.waiting import until

GENUINE, SIMULATED = "http://localhost:8000", "http://localhost:8100"
"""The two APIs: the ports are published in the network of the engine, and of these tests."""
_FILES = ("docker-compose.yaml", ".env.example", "example-config.yaml", "containers/monitoring", "dashboards")
_STAND_INS = ("postgres", "redis", "prometheus")
_STAND_INS_FOLDER = ROOT / "tests" / "containers" / "stand_ins"


def file() -> dict[str, Any]:
    """Return docker-compose.yaml."""
    content: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "docker-compose.yaml").read_text())
    return content


def docker(*arguments: str) -> str:
    """Run the engine's client; return what it says."""
    return _run(["docker", *arguments], ROOT)


def inspect(name: str) -> dict[str, Any]:
    """Return what the engine knows of an image or container."""
    found: dict[str, Any] = json.loads(docker("inspect", name))[0]
    return found


@cache
def build() -> None:
    """Build all images that the file names; what cannot be pulled is built from its stand-in."""
    _run(["make", "--silent", "docker-build-simulated"], ROOT)
    services = file()["services"]
    for name in _STAND_INS:
        tag = services[name]["image"]
        try:
            docker("pull", "--quiet", tag)
        except AssertionError:
            docker("build", "--quiet", "--target", name, "--tag", tag, str(_STAND_INS_FOLDER))


class Composed:
    """One folder with the file and what the guide's commands need there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def typed(self, command: str) -> str:
        """Run a command as somebody types it in this folder, in a terminal; return what was on the screen."""
        return _run(["script", "--quiet", "--return", "--command", command, "/dev/null"], self.folder)

    def compose(self, *arguments: str) -> str:
        """Run docker-compose without a terminal."""
        return _run(["docker-compose", *arguments], self.folder)

    def container(self, service: str) -> str:
        """Return the id of a service's container."""
        return self.compose("ps", "--quiet", service).strip()

    def inside(self, service: str, *command: str) -> str:
        """Run a command in a service's container."""
        return docker("exec", self.container(service), *command)

    def network_of(self, service: str, *command: str) -> None:
        """Run a program of this machine in the network of a service's container."""
        pid = str(inspect(self.container(service))["State"]["Pid"])
        path = f"{os.environ['PATH']}:/usr/sbin"
        _run(["env", f"PATH={path}", "nsenter", "--target", pid, "--net", *command], self.folder)

    def is_healthy(self, service: str) -> bool:
        """Return whether the engine calls a service's container healthy."""
        found = self.container(service)
        return bool(found) and inspect(found)["State"]["Health"]["Status"] == "healthy"

    def wait_until_healthy(self, *services: str) -> None:
        for service in services:
            until(lambda: self.is_healthy(service), f"{service} is healthy")  # noqa: B023  called in the loop

    def in_cloud(self, statement: str) -> str:
        """Run a statement about `store` in the container of the simulated cloud."""
        head = (
            "from pathlib import Path; from beta9_simulator.cloud.store import Store; "
            "store = Store(Path('/var/lib/beta9-simulator/cloud.sqlite')); "
        )
        return self.inside("cloud", "python", "-c", head + statement)

    def pace(self, time_scale: float) -> None:
        """Let the cloud's creates take that part of their real time from now on."""
        self.in_cloud(f"store.set_setting('time_scale', '{time_scale}')")

    def leftovers(self) -> list[str]:
        """Return what is left in the simulated cloud and its clusters."""
        ask = (
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:4567/leftovers').read().decode())"
        )
        found = json.loads(self.inside("cloud", "python", "-c", ask))
        return [*found["cloud"], *found["clusters"]]

    def logs(self) -> str:
        """Return the logs of all containers."""
        return self.compose("--profile", "simulated", "--profile", "monitoring", "logs", "--no-color")


class Api(User):
    """One of the APIs, asked with a key if there is one."""

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url)
        if key:
            self.http.headers["Authorization"] = f"Bearer {key}"

    def create(self, name: str) -> str:
        """Create the example environment under a name; return its id."""
        body = (ROOT / "example-config.yaml").read_text().replace("name: demo", f"name: {name}")
        answer = self.http.post("/api/v1/environments", content=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["environment_id"])

    def delete(self, environment_id: str) -> httpx.Response:
        answer = super().delete(environment_id)
        assert answer.status_code == 202, answer.text
        return answer

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Return the code of /health/ready, and its checks."""
        answer = self.http.get("/health/ready")
        return answer.status_code, answer.json()["checks"]  # none for strangers


@contextmanager
def composed(folder: Path, override: Mapping[str, Any] | None = None) -> Iterator[Composed]:
    """Prepare a folder, and end its containers and volumes afterwards; no log of them may have a traceback.

    `override` becomes docker-compose.override.yaml, which Compose reads by itself.
    """
    build()
    for name in _FILES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    if override is not None:
        (folder / "docker-compose.override.yaml").write_text(json.dumps(override))
    found = Composed(folder)
    profiles = ("--profile", "simulated", "--profile", "monitoring")
    try:
        yield found
        found.compose(*profiles, "stop")
        logs = found.logs()
        assert "Traceback" not in logs, logs
    finally:
        if (folder / ".env").exists():
            found.compose(*profiles, "down", "--volumes", "--remove-orphans", "--timeout", "1")


@contextmanager
def timed(what: str, figures: dict[str, float]) -> Iterator[None]:
    """Note how many seconds something took."""
    start = time.monotonic()
    yield
    figures[what] = round(time.monotonic() - start, 1)


def tell(config: pytest.Config, figures: Mapping[str, float]) -> None:
    """Write figures to the terminal."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        for what, seconds in figures.items():
            sys.stdout.write(f"\n{seconds:6.1f} s {what}")


def _run(command: list[str], folder: Path) -> str:
    given = {name: value for name, value in sealing.taken.items() if name.startswith(("DOCKER_", "COMPOSE_"))}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **given},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{done.stdout}{done.stderr}"
    assert done.returncode == 0, f"{shlex.join(command)} ended with {done.returncode}:\n{said}"
    return done.stdout
