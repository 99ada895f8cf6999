"""Programs of several releases, as processes, on one database, one queue and one simulated cloud."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from scripts.releases import Program
from tests.support.configs import document
from tests.support.simulated import EXTERNAL_ID, ROOT, World
from tests.support.user import User
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.local import variables
from beta9_provisioning.local.ports import HOST
from beta9_provisioning.local.servers import answers, spawn, start_on_port
from beta9_provisioning.local.tools import ensure_tools, find_terraform

ENVIRONMENTS = "/api/v1/environments"
REFUSED = "b9-this-is-another-one"
"""External ID that the customer's role does not accept: the operation fails in its first step."""
IMPATIENT = {"LEASE_SECONDS": "15"}
"""Settings of a worker that judges others soon after its start; a lease must still outlast a busy machine."""


class Api(User):
    """An API process, and somebody who uses it."""

    def create(self, name: str, *, external_id: str = EXTERNAL_ID, key: str = "") -> httpx.Response:
        """Request an environment; it is refused in its first step unless the external ID is the true one."""
        body = document(name=name, cloud__external_id=external_id)
        # Both are for releases that pass them on, whoever runs the operation.
        headers = {"X-Request-ID": f"request-{name}", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        if key:
            headers["Idempotency-Key"] = key
        answer = self.http.post(ENVIRONMENTS, json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer

    def make(self, name: str, *, external_id: str = EXTERNAL_ID) -> str:
        """Request an environment, and return its ID."""
        return str(self.create(name, external_id=external_id).json()["environment_id"])

    def remove(self, environment_id: str) -> None:
        """Request its deletion."""
        answer = self.delete(environment_id)
        assert answer.status_code == 202, answer.text

    def readiness(self) -> tuple[int, Any]:
        """Return the status of /health/ready, and the code of the check of the schema."""
        answer = self.http.get("/health/ready")
        return answer.status_code, answer.json()["checks"]["schema"].get("code", "")

    def shows(self) -> dict[str, Any]:
        """Return all that this API says about all environments, but for who is alive now."""
        listed = self.http.get(ENVIRONMENTS, params={"limit": 100}).json()
        found: dict[str, Any] = {"list": listed}
        for item in listed["items"]:
            one = item["environment_id"]
            kubeconfig = self.http.get(f"{ENVIRONMENTS}/{one}/kubeconfig")
            found[one] = {
                "environment": self.get(one) | {"live_workers": None},
                "events": self.events(one),
                "kubeconfig": kubeconfig.text if kubeconfig.is_success else kubeconfig.status_code,
            }
        return found


@dataclass(frozen=True)
class Fleet:
    """Where the programs run.

    Attributes:
        directory: of logs and working directories.
    """

    database_url: str
    redis_url: str
    world: World
    directory: Path

    def db_init(self, program: Program) -> subprocess.Popen[str]:
        """Start `db init` of a program."""
        return db_init(program, self.database_url, self.directory)

    def migrate(self, program: Program) -> None:
        """Run `db init` of a program; it must succeed."""
        migrate(program, self.database_url, self.directory)

    @contextmanager
    def api(self, program: Program, *, may_fail: bool = False, **settings: str) -> Iterator[Api]:
        """Run the API of a program until the block ends; its log must tell of no fault, unless it may."""
        with self._running(program, "api", "API_PORT", "/health", settings, may_fail=may_fail) as (_, port):
            api = Api(f"http://{HOST}:{port}")
            with api.http:
                yield api

    @contextmanager
    def worker(self, program: Program, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker of a program until the block ends, unless it was ended before."""
        with self._running(program, "worker", "WORKER_METRICS_PORT", "/metrics", settings) as (child, _):
            yield child

    @contextmanager
    def _running(
        self,
        program: Program,
        kind: str,
        setting: str,
        path: str,
        settings: Mapping[str, str],
        *,
        may_fail: bool = False,
    ) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        home = self.directory / f"{kind}-{len(list(self.directory.iterdir()))}"
        home.mkdir()
        log = home / "log"
        common = {**self._settings(program), "WORKDIR_BASE": str(home / "work"), **settings}
        child, port = start_on_port(
            kind,
            lambda port: spawn(
                [str(program.python), "-m", f"beta9_provisioning.{kind}"],
                {**common, setting: str(port)},
                cwd=home,
                log=log,
                tied=True,
            ),
            lambda _pid, port: answers(f"http://{HOST}:{port}{path}"),
            log,
        )
        try:
            yield child, port
            stop(child)
            assert may_fail or [line for line in log.read_text().splitlines() if _tells_a_fault(line)] == []
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()

    def _settings(self, program: Program) -> dict[str, str]:
        tools = ensure_tools(ROOT)
        programs = variables.Programs(find_terraform(), tools.helm, tools.kubectl)
        settings = variables.worker(
            {**os.environ, **variables.base(programs)},
            self.world.simulator,
            programs,
            database_url=self.database_url,
            redis_url=self.redis_url,
            directory=self.directory,
        )
        return {
            **settings,
            # Children of a program find its package by the same variable.
            "PYTHONPATH": str(program.source),
            "RECONCILE_SECONDS": "0.5",
            # As every release before 0.3 is; they do not know the setting.
            "AUTH_MODE": "none",
            "MAX_ENVIRONMENTS_PER_USER": "1000",
        }


def lacks(ours: Any, theirs: Any, place: str = "") -> list[str]:
    """Return where an answer of one release lacks, or changes, what the other's has; more is no lack."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            found
            for name, value in theirs.items()
            for found in (
                lacks(ours[name], value, f"{place}.{name}") if name in ours else [f"{place}.{name} is gone"]
            )
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [
            found
            for number, (one, other) in enumerate(zip(ours, theirs, strict=True))
            for found in lacks(one, other, f"{place}[{number}]")
        ]
    return [] if ours == theirs else [f"{place} is {ours!r} and was {theirs!r}"]


def replays(api: Api, name: str, key: str, answer: httpx.Response) -> bool:
    """Tell whether an API answers a key as another one did."""
    again = api.create(name, external_id=REFUSED, key=key)
    return bool(again.headers.get("Idempotency-Replayed") == "true" and again.json() == answer.json())


def db_init(program: Program, database_url: str, directory: Path) -> subprocess.Popen[str]:
    """Start `db init` of a program."""
    return subprocess.Popen(
        [program.python, "-m", program.migrate],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(program.source), "DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def migrate(program: Program, database_url: str, directory: Path) -> None:
    """Run `db init` of a program; it must succeed."""
    with db_init(program, database_url, directory) as child:
        told, _ = child.communicate(timeout=GUARD_SECONDS)
    assert child.returncode == 0, told


def stop(child: subprocess.Popen[bytes]) -> None:
    """Stop a program in order, as an update of a Deployment does; one that was killed is gone already."""
    if child.poll() == -signal.SIGKILL:
        return
    child.send_signal(signal.SIGTERM)
    assert child.wait(GUARD_SECONDS) == 0


def _tells_a_fault(line: str) -> bool:
    return '"level": "error"' in line or line.startswith("Traceback")
