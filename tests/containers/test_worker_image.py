"""The worker as process 1 of its container: it starts, adopts and reaps, and stops in order."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.configs import config
from tests.support.containers import INIT_DB, WORKER, Container, once, running
from tests.support.stacks import subject
from tests.support.waiting import until

from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.synthesis.child import Request

pytestmark = pytest.mark.usefixtures("images")

DATABASE_URL = "postgresql://postgres:postgres@postgres:5432/postgres"
# Starts a process and ends before it: an orphan, which process 1 adopts.
ORPHAN = """
import subprocess
print(subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL).pid)
"""


@pytest.fixture
def worker(postgres: Container, redis: Container, net: str) -> Iterator[Container]:
    """A worker with its servers, restricted as in production, and healthy."""
    restricted = (
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
    )
    options = (*restricted, "--network", net)
    settings = {"DATABASE_URL": DATABASE_URL, "REDIS_URL": "redis://redis:6379/0"}
    once(WORKER, "python", "-c", INIT_DB, options=(*options, "--env", f"DATABASE_URL={DATABASE_URL}"))
    with running(WORKER, options=options, **settings) as container:
        container.until_healthy()
        yield container


def _process(container: Container, pid: str) -> str:
    """Return what the kernel says of a process in the container; nothing when there is none."""
    return container.exec("sh", "-c", f"cat /proc/{pid}/stat 2>/dev/null || true")


def test_it_reaps_what_it_adopts(worker: Container) -> None:
    # In a session of its own, as what Terraform leaves behind is.
    pid = worker.exec("setsid", "--wait", "python", "-c", ORPHAN)
    adopted = _process(worker, pid).rpartition(")")[2].split()
    assert adopted[1] == "1", "process 1 has not adopted it"
    worker.exec("sh", "-c", f"kill {pid}")
    until(lambda: not _process(worker, pid), "no zombie is left of the orphan")
    assert worker.state["Running"]


def test_it_stops_in_order_when_told(worker: Container) -> None:
    assert worker.exec("cat", "/proc/1/cmdline").split("\0")[:3] == [
        "python",
        "-m",
        "beta9_provisioning.worker",
    ]
    assert worker.stop() == 0
    events = [event for event in ("worker_started", "shutting_down", "worker_stopped") if event in worker.log]
    assert events == ["worker_started", "shutting_down", "worker_stopped"]
    assert worker.log.index("shutting_down") < worker.log.index("worker_stopped")
    assert "Traceback" not in worker.log
    assert not worker.state["OOMKilled"]


def test_it_synthesizes_on_a_read_only_root(worker: Container, tmp_path: Path) -> None:
    """CDK Terrain and its Node.js write into the temporary directory, and nowhere else."""
    asked = Request(subject(config()), Path("/tmp/out")).to_line().decode()
    child = 'echo "$1" | python -m beta9_provisioning.clouds.synthesis /tmp/one'
    written = worker.exec("sh", "-c", child, "sh", asked)
    found = worker.exec("cat", f"{json.loads(written)['directory']}/cdk.tf.json")
    expected = synthesize(subject(config()), tmp_path) / "cdk.tf.json"
    assert json.loads(found) == json.loads(expected.read_text())


def test_without_a_place_to_write_it_says_so(net: str, postgres: Container) -> None:
    options = ("--read-only", "--cap-drop", "ALL", "--network", net)
    with running(WORKER, options=options, DATABASE_URL=DATABASE_URL) as worker:
        until(lambda: not worker.state["Running"], "the worker has ended")
        assert worker.state["ExitCode"] == 1
        assert "TMPDIR" in worker.log
        assert "Traceback" not in worker.log
