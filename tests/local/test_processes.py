"""Processes are told apart from strangers with the same pid, and end."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.processes import ProcessRef, tail, wait_until

STUBBORN = (
    "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


@contextmanager
def _child(code: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_running_process_is_stopped() -> None:
    with _child("import time; print('ready', flush=True); time.sleep(600)") as child:
        reference = ProcessRef.of(child.pid)
        assert reference.is_running()
        assert reference.stop(signal.SIGTERM, GUARD_SECONDS)
        assert not reference.is_running()  # although nobody has reaped it yet
        assert child.wait() == -signal.SIGTERM
        assert reference.stop(signal.SIGTERM, GUARD_SECONDS)  # again, harmlessly


def test_a_process_that_does_not_listen_is_killed() -> None:
    with _child(STUBBORN) as child:
        assert not ProcessRef.of(child.pid).stop(signal.SIGTERM, 0.2)
        assert child.wait() == -signal.SIGKILL


def test_a_recycled_pid_is_left_alone() -> None:
    with _child("import time; print('ready', flush=True); time.sleep(600)") as child:
        reference = ProcessRef.of(child.pid)
        earlier = ProcessRef(reference.pid, reference.started - 100)
        assert not earlier.is_running()
        assert earlier.stop(signal.SIGKILL, 1)
        assert child.poll() is None


def test_there_is_no_reference_to_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ProcessLookupError):
        ProcessRef.of(child.pid)


def test_a_tied_process_ends_with_its_parent() -> None:
    code = (
        "import subprocess, sys, time\n"
        "from beta9_provisioning.kit.orphans import dies_with_parent\n"
        "import signal\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],\n"
        "    preexec_fn=dies_with_parent(signal.SIGTERM))\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    grandchild = ProcessRef.of(int(parent.stdout.readline()))
    assert grandchild.is_running()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not grandchild.is_running(), "the child of the child has ended")


def test_a_process_with_a_strange_name_is_read() -> None:
    name = "b'a) R 1 (b'"
    rename = f"import ctypes; ctypes.CDLL(None).prctl(15, {name}, 0, 0, 0)"
    code = f"{rename}; import time; print('ready', flush=True); time.sleep(600)"
    with _child(code) as child:
        assert ProcessRef.of(child.pid).is_running()


def test_waiting_ends_when_the_time_is_over() -> None:
    assert wait_until(lambda: True, 0)
    assert not wait_until(lambda: False, 0.05)


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_bytes(b"a\nb\n\xff\nd\n")
    assert tail(log, 2) == "�\nd"
