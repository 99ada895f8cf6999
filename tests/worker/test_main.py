"""The worker's own process: what it leaves in the queue, and how it ends when it is told to."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.operations.rows import make_environment, operation
from tests.support.process_tree import descendants, wait_for_end
from tests.support.simulated import ROOT
from tests.support.waiting import GUARD_SECONDS, until
from tests.worker.rig import hints, row_waiters

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.operations.records.fairness import claimable
from beta9_provisioning.operations.records.store import lock_environment
from beta9_provisioning.settings import Settings

THREADS = 2


class Process:
    """A worker process and what it has logged."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        *,
        variables: Mapping[str, str] | None = None,
        preexec_fn: Callable[[], None] | None = None,
    ) -> None:
        self._log = directory / "worker.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "TMPDIR": str(directory),
            "WORKDIR_BASE": str(directory),
            "CHART_SOURCE": str(directory),
            "WORKER_THREADS": str(THREADS),
            "WORKER_METRICS_PORT": "0",
            # Rows that stay locked look unclaimed; a reconciler would send their hints again.
            "RECONCILE_SECONDS": "600",
            # Nothing here comes far enough to run them; they only have to be there.
            **dict.fromkeys(("TERRAFORM_BINARY", "HELM_BINARY"), sys.executable),
            "TERRAFORM_BINARY": str(find_terraform()),
            "HELM_BINARY": str(ensure_tools(ROOT).helm),
            "AWS_EC2_METADATA_DISABLED": "true",
            **(variables or {}),
        }
        with self._log.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "beta9_provisioning.worker"],
                cwd=directory,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=preexec_fn,
            )

    def logged(self, event: str) -> bool:
        """Whether it has logged this event; fails when it has ended without."""
        if any(document.get("event") == event for document in self.lines()):
            return True
        assert self.child.poll() is None, self._log.read_text()
        return False

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Start workers; they are killed after the test."""
    with ExitStack() as stack:

        def begin() -> Process:
            process = Process(settings, tmp_path)
            stack.callback(process.child.wait)
            stack.callback(process.child.kill)
            return process

        yield begin


def test_a_busy_worker_leaves_the_rest_in_the_queue_and_stops_when_told(
    sessions: Sessions, queue: Queue, settings: Settings, start: Callable[[], Process]
) -> None:
    made = [make_environment(sessions) for _ in range(THREADS + 3)]
    ids = [one.operation_id for one in made]
    for operation_id in ids:
        queue.send(ACTOR, operation_id)
    with transaction(sessions) as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # a start may take long
        for one in made:
            lock_environment(session, one.environment_id)  # its claim waits, and keeps a thread busy
        # All are there before it looks, so that a worker that hoards messages takes more at its first look.
        process = start()
        until(lambda: process.logged("worker_started"), "the worker has started")
        until(lambda: row_waiters(sessions) == THREADS, "all threads are busy")
        assert queue.backlog() == 3
        process.child.send_signal(signal.SIGTERM)
        until(lambda: process.logged("shutting_down"), "the worker has heard it")
    assert process.child.wait(GUARD_SECONDS) == 0
    statuses = [operation(sessions, one).status for one in ids]
    assert statuses == ["planning"] * THREADS + ["queued"] * 3
    with transaction(sessions) as session:
        assert set(claimable(session)) == set(ids)
    # A hint may have been taken in the last moment and dropped: reconcilers send it again.
    assert set(hints(settings.redis_url)) <= set(ids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_spare_synthesizer_ends_with_the_worker(
    start: Callable[[], Process], tmp_path: Path, number: signal.Signals
) -> None:
    process = start()
    until(lambda: process.logged("worker_started"), "the worker has started")
    worker = process.child.pid
    # The second of its two Node.js processes is the last one to start.
    until(lambda: any("program.js" in one for one in descendants(worker).values()), "a spare is ready")
    started = [worker, *descendants(worker)]
    assert len(started) == 5
    process.child.send_signal(number)
    process.child.wait(GUARD_SECONDS)
    wait_for_end(*started)
    assert list(tmp_path.glob("beta9-synthesis-*")) == []


def test_a_worker_that_is_process_1_keeps_no_zombies(settings: Settings, tmp_path: Path) -> None:
    """A subreaper adopts orphans as process 1 of a container does, and needs no privilege for it."""

    def adopt() -> None:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    process = Process(settings, tmp_path, preexec_fn=adopt)
    try:
        until(lambda: process.logged("worker_started"), "the worker has started")
        worker = process.child.pid
        until(lambda: any("program.js" in one for one in descendants(worker).values()), "a spare is ready")
        launcher = next(pid for pid, line in descendants(worker).items() if "launcher.py" in line)
        below = list(descendants(launcher))
        os.kill(launcher, signal.SIGKILL)  # nobody kills and reaps the group for it
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), "all are gone, reaped")
    finally:
        process.child.kill()
        process.child.wait()


def test_a_worker_says_once_which_variables_its_tools_do_not_get(settings: Settings, tmp_path: Path) -> None:
    process = Process(settings, tmp_path, variables={"TF_WORKSPACE": "elsewhere", "TF_LOG": "TRACE"})
    try:
        until(lambda: process.logged("worker_started"), "the worker has started")
    finally:
        process.child.kill()
        process.child.wait()
    [told] = [line for line in process.lines() if line.get("event") == "variables_ignored"]
    assert told["names"] == ["TF_LOG", "TF_WORKSPACE"]
    assert "elsewhere" not in str(process.lines())
