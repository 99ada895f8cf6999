"""A seed can be repeated: in another process it makes the same history."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEED = "5"


def test_two_processes_make_the_same_history_of_a_seed() -> None:
    command = [sys.executable, "-m", "simulation", "--small", "--seed", SEED]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    printed = [one.communicate()[0] for one in both]
    traces = [re.findall(r"^trace (\w+), (\d+) points", text, re.MULTILINE) for text in printed]
    assert traces[0], printed[0]
    assert traces[0] == traces[1]
    assert int(traces[0][0][1]) > 500
