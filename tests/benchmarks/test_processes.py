"""The benchmark's child processes: their time, their failures, the memory of their tree."""

import os
import sys
from pathlib import Path

import pytest
from benchmarks.processes import BenchmarkFailed, PeakMemory, descendants, pss_kib, run

from beta9_provisioning.local.processes import wait_until

HOLD = "import time; block = bytearray(64 * 2**20); time.sleep(0.6)"
# A child whose own child holds the memory.
GRANDCHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}], check=True)"


def test_a_child_gives_its_time_and_all_its_output(tmp_path: Path) -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; sleep 0.2"], cwd=tmp_path)
    assert done.output == "out\nerr\n"
    assert 0.2 <= done.seconds < 10


def test_a_failing_child_is_a_failure_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match=r"exit code 3:\nwhat was wrong"):
        run(["sh", "-c", "echo what was wrong; exit 3"], cwd=tmp_path)


def test_a_child_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    # A shell without job control makes background processes ignore SIGINT.
    with pytest.raises(BenchmarkFailed, match="did not end within"):
        run(["sh", "-c", 'sleep 60 & echo "$!" > pid; wait'], cwd=tmp_path, timeout=0.5)
    pid = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: pss_kib(pid) == 0, seconds=5)


def test_peak_memory_is_of_the_whole_tree(tmp_path: Path) -> None:
    others = set(descendants(os.getpid()))  # servers of the test session
    with PeakMemory() as memory:
        run([sys.executable, "-c", GRANDCHILD], cwd=tmp_path)
    assert 64 < memory.mib < 256
    assert set(descendants(os.getpid())) <= others


def test_a_process_that_has_ended_takes_no_memory() -> None:
    assert pss_kib(os.getpid()) > 1000
    assert pss_kib(2**22 + 1) == 0
