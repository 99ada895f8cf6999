"""The benchmark's child processes: their time, their failures, the memory of their tree."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks.processes import BenchmarkFailed, PeakMemory, cpu_seconds, descendants, pss_kib, run
from tests.support.process_tree import command, wait_for_end
from tests.support.waiting import GUARD_SECONDS, until

from benchmarks import processes

# Holds memory until there is a file `go`.
HOLD = """
import os, time
block = bytearray(64 * 2**20)
while not os.path.exists("go"):
    time.sleep(0.02)
"""
# A child whose own child holds the memory.
GRANDCHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}], check=True)"


def test_a_child_gives_its_time_and_all_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([100.0, 102.5])
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: next(readings)))
    done = run(["sh", "-c", "echo out; echo err >&2"], cwd=tmp_path)
    assert done.output == "out\nerr\n"
    assert done.seconds == 2.5


def test_a_failing_child_is_a_failure_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match=r"exit code 3:\nwhat was wrong"):
        run(["sh", "-c", "echo what was wrong; exit 3"], cwd=tmp_path)


def test_a_child_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    # A shell without job control makes background processes ignore SIGINT.
    ours = f"600.{os.getpid()}"
    with pytest.raises(BenchmarkFailed, match="did not end within"):
        run(["sh", "-c", f"sleep {ours} & wait"], cwd=tmp_path, timeout=0.5)
    running = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    wait_for_end(*(pid for pid in running if command(pid).split() == ["sleep", ours]))


def test_peak_memory_is_of_the_whole_tree(tmp_path: Path) -> None:
    others = set(descendants(os.getpid()))  # servers of the test session
    with PeakMemory() as memory, ThreadPoolExecutor(1) as pool:
        done = pool.submit(run, [sys.executable, "-c", GRANDCHILD], cwd=tmp_path)
        until(lambda: memory.mib > 64, "the memory of the child's child is counted")
        (tmp_path / "go").touch()
        done.result(GUARD_SECONDS)
    assert 64 < memory.mib < 256
    assert set(descendants(os.getpid())) <= others


def test_a_process_that_has_ended_takes_no_memory() -> None:
    assert pss_kib(os.getpid()) > 1000
    assert pss_kib(2**22 + 1) == 0


def test_processor_time_is_that_of_the_whole_tree() -> None:
    """The parent only waits; what its child takes counts."""
    work = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    shell = f"{sys.executable} -c '{work}\nprint(1, flush=True); time.sleep(600)' & echo; wait"
    with subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, start_new_session=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"\n"
            assert child.stdout.readline() == b"1\n"
            assert cpu_seconds(child.pid) >= 0.25  # the kernel counts in ticks
        finally:
            os.killpg(child.pid, signal.SIGKILL)
    assert cpu_seconds(child.pid) == 0
