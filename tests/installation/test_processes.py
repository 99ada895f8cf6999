"""The API and the worker, started from installations that hold nothing but what they need."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.installation.installations import ROOT, Installation, Installations
from tests.support.process_tree import descendants
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.servers import answers, spawn, start_on_port
from beta9_provisioning.local.tools import ensure_tools, find_terraform

# The setting of its port, and what answers when it has started.
_DOORS = {"api": ("API_PORT", "/health/ready"), "worker": ("WORKER_METRICS_PORT", "/metrics")}
Kind = Callable[[Installations], Installation]


@contextmanager
def running(
    command: str, installation: Installation, folder: Path, settings: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """Yield pid and URL of an API or worker that has started; it must stop when told, without a traceback."""
    setting, path = _DOORS[command]
    log = folder / f"{command}.log"

    def launch(port: int) -> subprocess.Popen[bytes]:
        variables = installation.variables(folder, **settings, **{setting: str(port)})
        return spawn([installation.program, command], variables, cwd=folder, log=log, tied=True)

    child, port = start_on_port(
        command, launch, lambda _pid, port: answers(f"http://127.0.0.1:{port}{path}"), log
    )
    try:
        yield child.pid, f"http://127.0.0.1:{port}"
        child.send_signal(signal.SIGTERM)
        assert child.wait(GUARD_SECONDS) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


@pytest.fixture
def addresses(empty_database_url: str, redis_url: str) -> dict[str, str]:
    """Settings that name the servers of the test run."""
    return {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url, "AUTH_MODE": "none"}


@pytest.mark.parametrize(
    ("api", "worker"),
    [(Installations.api, Installations.worker), (Installations.documented, Installations.documented)],
    ids=["own", "documented"],
)
def test_api_and_worker_run_from_their_installations(
    installations: Installations, api: Kind, worker: Kind, addresses: dict[str, str], tmp_path: Path
) -> None:
    prepared = api(installations).run("db", "init", cwd=tmp_path, **addresses)
    assert prepared.returncode == 0, prepared.stderr
    for_worker = {
        "WORKDIR_BASE": str(tmp_path / "work"),
        "TERRAFORM_BINARY": str(find_terraform()),
        "HELM_BINARY": str(ensure_tools(ROOT).helm),
        "CHART_SOURCE": str(tmp_path),
        "CONTROL_PLANE_CIDRS": "203.0.113.0/24",
        # Nor is there any account to be reached.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with (
        running("api", api(installations), tmp_path, addresses) as (_, url),
        running("worker", worker(installations), tmp_path, addresses | for_worker) as (pid, _),
        httpx.Client(base_url=url, trust_env=False, timeout=GUARD_SECONDS) as http,
    ):
        assert http.get("/health").json()["status"] == "healthy"
        made = http.post("/api/v1/environments", content=(ROOT / "example-config.yaml").read_bytes())
        assert made.status_code == 202, made.text
        place = f"/api/v1/environments/{made.json()['environment_id']}"

        # The worker takes it and asks AWS, for which it has no credentials ...
        until(lambda: http.get(place).json()["status"] == "failed", "the operation fails")
        assert http.get(place).json()["error"]["code"] == "credentials_missing"
        # ... and meanwhile CDK Terrain gets ready for a synthesis, on the Node.js that was installed.
        node = f"{worker(installations).directory}/lib/"
        until(lambda: any(line.startswith(node) for line in descendants(pid).values()), "Node.js runs")
