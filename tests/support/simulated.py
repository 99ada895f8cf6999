"""A simulated cloud with its clusters in a process of its own, and settings that lead the engine there."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.local import variables
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.settings import Settings
from beta9_simulator.cloud.store import Store
from beta9_simulator.handle import Simulator

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"
EXTERNAL_ID = "b9-3f1c7a52e0d84f6b"


class World:
    """The simulated world outside: its doors, its store, and what is left in it."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.store = Store(Path(simulator.store))

    def be_slow(self, time_scale: float) -> None:
        """Multiply real creation times by this from now on; 0 ends what is going on, too."""
        self.store.set_setting("time_scale", str(time_scale))
        if not time_scale:
            self.store.execute("update objects set busy_until=0")

    def delay(self, type_: str, seconds: float | None) -> None:
        """Let the creation of this type take so many seconds whatever the time scale; None ends that."""
        self.store.set_setting(f"create_seconds:{type_}", "" if seconds is None else str(seconds))

    def finish(self, type_: str) -> None:
        """Let what is going on with objects of this type end now."""
        self.store.execute("update objects set busy_until=0 where type=?", type_)

    def leftovers(self) -> list[str]:
        """Return everything that is left, in the cloud and in clusters."""
        with urllib.request.urlopen(f"{self.simulator.control_url}/leftovers") as answer:
            found = json.load(answer)
        return [*found["cloud"], *found["clusters"]]

    def settings(self, workdir: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Settings:
        """Return a worker's settings, and set this process's environment as a worker's."""
        for name, value in variables.cloud(self.simulator).items():
            monkeypatch.setenv(name, value)
        tools = ensure_tools(ROOT)
        values: dict[str, object] = {
            "workdir_base": workdir,
            "terraform_binary": str(find_terraform()),
            "terraform_cli_config": Path(self.simulator.terraform_cli_config),
            "helm_binary": str(tools.helm),
            "chart_source": self.simulator.charts,
            "s3_path_style": True,
            "control_plane_cidrs": "203.0.113.0/24",
        }
        return Settings(**(values | changes))  # type: ignore[arg-type]


@contextmanager
def simulated_world(directory: Path, *, is_published: bool = True) -> Iterator[World]:
    """Run a simulator that takes no time, with the account of example-config.yaml.

    The role in it may do what the published policies allow, and nothing else; or everything, for earlier
    releases, which published none.
    """
    policies = directory / "policies.json"
    policies.write_text(json.dumps(permissions.policies()))
    arguments = [str(directory), "--provider-schema", str(SCHEMA_FILE), "--time-scale", "0"]
    arguments += ["--policies", str(policies)] if is_published else []
    arguments += ["--account", ACCOUNT, "--external-id", EXTERNAL_ID]
    log = directory / "simulator.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "beta9_simulator", *arguments],
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: Simulator.load(directory) or child.poll() is not None, "the simulator has started")
        simulator = Simulator.load(directory)
        assert simulator is not None, log.read_text()
        yield World(simulator)
    finally:
        child.terminate()
        child.wait(GUARD_SECONDS)
