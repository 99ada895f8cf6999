"""The launcher, run as the program it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.process_tree import lives
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.engine.processes import launcher
from beta9_provisioning.engine.processes.watchdog import UNWATCHED, Watchdog

# Writes its process id to the file $1, then one line for every SIGINT; ends when there is a file $1.end, or
# by itself after two minutes.
COUNTER = """
trap 'echo interrupted >> "$1"' INT
echo $$ > "$1.new"; mv "$1.new" "$1"
i=0; while [ ! -e "$1.end" ] && [ $i -lt 2400 ]; do sleep 0.05; i=$((i+1)); done
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes to end, by their own id, when the test is over."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def command(
    *program: str,
    parent: int | None = None,
    grace: float = GUARD_SECONDS,
    watched: tuple[str, str] = UNWATCHED,
) -> list[str]:
    parent = os.getpid() if parent is None else parent
    words = [
        launcher.__file__,
        str(parent),
        str(int(signal.SIGINT)),
        str(grace),
        "0",
        "0",
        *watched,
        *program,
    ]
    return [sys.executable, "-I", "-S", *words]


def run(*program: str, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*program, parent=parent),
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_passes_on_the_exit_code(script: str, code: int) -> None:
    assert run("sh", "-c", script).returncode == code


def test_passes_on_the_arguments_as_they_are() -> None:
    assert run("printf", "%s|", "a b", "$HOME", "", "*").stdout == "a b|$HOME||*|"


def test_starts_nothing_when_its_parent_is_gone(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    result = run("touch", str(marker), parent=os.getppid())
    assert result.returncode == launcher.PARENT_GONE
    assert not marker.exists()


def test_names_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    missing = run(str(tmp_path / "missing"))
    assert missing.returncode == launcher.NOT_FOUND
    assert "missing could not be started: No such file" in missing.stderr
    (tmp_path / "plain").write_text("no program")
    assert run(str(tmp_path / "plain")).returncode == launcher.NOT_EXECUTABLE


def test_child_is_not_deaf_to_signals_that_the_parent_ignores(tmp_path: Path) -> None:
    # As under nohup, or in the background of a shell without job control.
    shell = 'trap "" INT TERM PIPE; exec "$@"'
    status = tmp_path / "status"
    script = f"grep -E '^Sig(Ign|Blk)' /proc/self/status > {status}"
    words = command("sh", "-c", script)
    subprocess.run(["sh", "-c", shell, "sh", *words], timeout=GUARD_SECONDS, check=True)
    for line in status.read_text().splitlines():
        mask = int(line.split()[1], 16)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD):
            assert not mask & 1 << (number - 1), line


def test_passes_on_the_first_stop_request_only(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    log = tmp_path / "log"
    process = subprocess.Popen(command("sh", "-c", COUNTER, "sh", str(log)), start_new_session=True)
    started.append(process)
    until(log.exists, "the child runs")
    child = int(log.read_text())
    process.terminate()
    until(lambda: "interrupted" in log.read_text(), "it is interrupted")
    ask_in_vain(process.pid)
    log.with_suffix(".end").touch()
    assert process.wait(GUARD_SECONDS) == 0
    assert log.read_text().split() == [str(child), "interrupted"]


def ask_in_vain(launched: int) -> None:
    """Ask a launcher to stop that has been asked before, and wait until it has decided what to do."""
    for _ in range(2):  # it takes the second request when it is done with the first
        os.kill(launched, signal.SIGTERM)
        until(lambda: not pending(launched, signal.SIGTERM), "the launcher has taken the signal")


def pending(pid: int, number: signal.Signals) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return any(int(line.split()[1], 16) >> (number - 1) & 1 for line in lines if line.startswith("ShdPnd"))


# Starts the launcher as a worker would, tells its process id, and waits.
PARENT = """
import os, subprocess, sys, time
arguments = [os.fsdecode(a) if a != "PARENT" else str(os.getpid()) for a in sys.argv[1:]]
process = subprocess.Popen(arguments, start_new_session=True)
print(process.pid, flush=True)
process.wait()
"""


def worker(arguments: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start a parent process with a launcher under it; return it and the launcher's process id."""
    index = arguments.index(launcher.__file__) + 1
    arguments = [*arguments[:index], "PARENT", *arguments[index + 1 :]]
    process = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("asked_before", [False, True], ids=["alone", "after a stop request"])
def test_death_of_the_parent_interrupts_once(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], asked_before: bool
) -> None:
    log = tmp_path / "log"
    parent, launched = worker(command("sh", "-c", COUNTER, "sh", str(log)))
    started.append(parent)
    until(log.exists, "the child runs")
    child = int(log.read_text())
    if asked_before:
        os.kill(launched, signal.SIGTERM)
        until(lambda: "interrupted" in log.read_text(), "it is interrupted")
    parent.kill()
    parent.wait()  # the kernel has sent the launcher its signal by then
    until(lambda: "interrupted" in log.read_text(), "it is interrupted")
    ask_in_vain(launched)
    log.with_suffix(".end").touch()
    until(lambda: not lives(child) and not lives(launched), "both have ended")
    assert log.read_text().split() == [str(child), "interrupted"]


def test_after_the_death_of_the_parent_a_deaf_child_is_killed(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    log = tmp_path / "log"
    parent, launched = worker(command("sh", "-c", COUNTER, "sh", str(log), grace=0.2))
    started.append(parent)
    until(log.exists, "the child runs")
    child = int(log.read_text().split()[0])
    parent.kill()
    until(lambda: not lives(child) and not lives(launched), "both have ended, without anybody's help")


def test_death_of_the_launcher_interrupts_the_child(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    log = tmp_path / "log"
    process = subprocess.Popen(command("sh", "-c", COUNTER, "sh", str(log)), start_new_session=True)
    started.append(process)
    until(log.exists, "the child runs")
    child = int(log.read_text())
    process.kill()
    until(lambda: "interrupted" in log.read_text(), "it is interrupted")
    os.kill(child, signal.SIGKILL)


def test_silence_of_a_parent_that_lives_interrupts_once(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    log, watched = tmp_path / "log", Watchdog(3.0)
    process = subprocess.Popen(
        command("sh", "-c", COUNTER, "sh", str(log), watched=watched.words), pass_fds=[watched.descriptor]
    )
    started.append(process)
    until(log.exists, "the child runs")
    until(lambda: "interrupted" in log.read_text(), "it is interrupted when nothing is told any more")
    (tmp_path / "log.end").touch()
    assert process.wait() == launcher.STOOD_STILL
    assert log.read_text().count("interrupted") == 1


# Holds so much memory that a kill takes it a while; tells its process id in the file $1, and waits.
HEAVY = """
import os, sys, time
held = b"x" * (512 << 20)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(120)
"""


def test_nothing_of_its_group_lives_when_the_launcher_has_ended(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(HEAVY)
    note = tmp_path / "pid"
    left = f"{sys.executable} {tmp_path}/heavy.py {note} >/dev/null 2>&1 &"
    # Not even what a child of the child has left.
    result = run("sh", "-c", f"({left}); while [ ! -e {note} ]; do sleep 0.05; done; exit 4")
    assert result.returncode == 4
    assert not lives(int(note.read_text()))
