"""As process 1 of a container the worker leaves no zombies, and takes nobody's exit code."""

import os
import subprocess
import sys
from pathlib import Path

# A subreaper adopts as process 1 of a container does, and needs no privilege for it.
PROGRAM = """
import ctypes, os, subprocess, sys, threading, time
from pathlib import Path
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
from beta9_provisioning.engine.processes import process
from beta9_provisioning.kit.orphans import start_reaping

def zombies():
    return [pid for pid, state in children() if state == "Z"]

def adopted():
    return [pid for pid, _ in children() if int(pid) not in (mine.pid, led.pid)]

def children():
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.append((stat.parent.name, state))
    return found

def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, zombies()
        time.sleep(0.05)

mine = subprocess.Popen(["sh", "-c", "exit 7"])
led = subprocess.Popen(["sh", "-c", "exit 8"], start_new_session=True)
until(lambda: len(zombies()) == 2)
env, log = {"PATH": os.environ["PATH"]}, Path("log")
here = Path.cwd()
def tool():
    # The launcher kills and reaps what its tool leaves, unless it is killed itself.
    script = "sleep 0.5 & kill -9 $PPID; sleep 0.5"
    done = process.run(["sh", "-c", script], cwd=here, env=env, log=here / "log",
                       stop=threading.Event(), timeout=60)
    assert done.returncode == 128 + 9, done
tool()
until(lambda: len(zombies()) > 2)
start_reaping()
until(lambda: sorted(zombies()) == sorted(map(str, (mine.pid, led.pid))))
tool()
until(lambda: adopted() == [] and len(zombies()) == 2)
assert (mine.wait(), led.wait()) == (7, 8)
print("done")
"""


def test_process_1_reaps_what_a_killed_launcher_leaves(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
