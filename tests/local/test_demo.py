"""The demonstration as users start it: all of it once, and cut off in the middle."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from beta9_provisioning.local.checkout import project_root
from beta9_provisioning.local.postgres import data_directory
from beta9_provisioning.local.state import State

PROGRAM = [sys.executable, "-c", "from beta9_provisioning.cli.main import main; main()"]


def _running_demos() -> dict[Path, State]:
    """Stacks of demos that run now; other tests may run one at the same time."""
    found = {path: State.load(path) for path in (project_root() / ".local").glob("demo-*")}
    return {path: state for path, state in found.items() if state is not None and state.complete}


def test_the_demo_succeeds_and_leaves_nothing() -> None:
    done = subprocess.run(
        [*PROGRAM, "local", "demo", "--time-scale", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("demo is ready", "cluster_name", "traefik", "demo is destroyed", "The demo succeeded in"):
        assert line in done.stdout
    before, after = (line for line in done.stdout.splitlines() if "The simulated cloud now holds" in line)
    assert "holds 0 resources" not in before
    assert "holds 0 resources, and 0 load balancers and volumes" in after
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_cut_off_stops_its_stack(number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [*PROGRAM, "local", "demo"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Planned to add" in line:
            break
    running = _running_demos()
    if number is signal.SIGINT:
        os.killpg(demo.pid, number)  # as a terminal sends Ctrl-C: to the command that is shown, too
    else:
        demo.send_signal(number)
    rest, _ = demo.communicate(timeout=150)
    assert demo.returncode == 1
    assert "it was interrupted" in rest
    directory = Path(rest.rsplit("The logs are in ", 1)[1].rstrip().rstrip(".")).parent
    assert [member.name for member in running[directory].members if member.reference.is_running()] == []
    assert not data_directory(directory).exists()
    assert [path.name for path in directory.iterdir() if path.is_dir()] == ["logs"]
    shutil.rmtree(directory)
