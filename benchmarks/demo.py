"""The demonstration: wall time of `beta9-provisioning local demo`, and peak memory of its whole stack."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, Row
from benchmarks.processes import PeakMemory, run
from benchmarks.stacks import ROOT

# As `make demo` has it.
TIME_SCALE = "0.01"
_SAMPLE_SECONDS = 0.2


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return wall time and peak memory; the demonstration's own check that nothing is left counts as well.

    Raises:
        BenchmarkFailed: the demonstration failed.
    """
    program = str(Path(sys.executable).with_name("beta9-provisioning"))
    seconds, peaks = [], []
    for number in range(1 if quick else 2):
        report(f"run {number + 1}")
        with PeakMemory(_SAMPLE_SECONDS) as memory:
            done = run([program, "local", "demo", "--time-scale", TIME_SCALE], cwd=ROOT)
        seconds.append(done.seconds)
        peaks.append(memory.mib)
    return [
        Row("wall time", Figure.median(seconds, "s")),
        Row("peak memory of all processes", Figure.median(peaks, "MiB")),
    ]
