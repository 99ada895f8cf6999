"""Running one command: output, stopping, and what it leaves behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.process_tree import lives
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.processes import process
from beta9_provisioning.engine.processes.process import AlreadyRunning, Finished, ToolMissing

ENV = {"PATH": os.environ["PATH"]}

# Say "ready", then count interrupts on stdout; `$1` of them end it.
COUNTER = """
count=0
trap 'count=$((count+1)); echo interrupt $count; [ $count -ge $1 ] && exit 5' INT
echo ready
i=0; while [ $i -lt 2400 ]; do sleep 0.05; i=$((i+1)); done
"""
# Once it is interrupted it says again and again that it goes on, until there is a file `go`.
SLOW = """
count=0
trap 'count=$((count+1)); echo interrupt $count' INT
echo ready
i=0
while [ ! -e go ] && [ $i -lt 2400 ]; do
  sleep 0.05; i=$((i+1))
  [ $count -eq 0 ] || echo going on
done
exit 5
"""


class Runner:
    """`process.run` in a temporary directory, with its lines kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.stop = threading.Event()
        self.lines: list[str] = []

    def __call__(self, *argv: str, **options: Any) -> Finished:
        settings: dict[str, Any] = {
            "cwd": self.directory,
            "env": ENV,
            "log": self.log,
            "stop": self.stop,
            "timeout": GUARD_SECONDS,
            "on_line": self.lines.append,
        }
        return process.run(list(argv), **(settings | options))

    def stop_on(self, line: str) -> Callable[[str], None]:
        def take(seen: str) -> None:
            self.lines.append(seen)
            if seen == line:
                self.stop.set()

        return take


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_reports_exit_code_and_output(run: Runner) -> None:
    finished = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert finished == Finished(3, "out\nerr\n", timed_out=False, stopped=False, killed=False)
    assert run.lines == ["out", "err"]


def test_a_signal_that_nobody_here_sent_is_no_stop(run: Runner) -> None:
    finished = run("sh", "-c", "kill -9 $$")
    assert finished == Finished(128 + 9, "", timed_out=False, stopped=False, killed=False)


def test_exits_are_counted_by_tool_and_verb(run: Runner) -> None:
    def counted(command: str, exit_code: int) -> float:
        (family,) = process.COMMANDS.collect()
        samples = {
            (sample.labels["command"], sample.labels["exit_code"]): sample.value
            for sample in family.samples
            if sample.name.endswith("_total")
        }
        return samples.get((command, str(exit_code)), 0)

    tool = run.directory / "tool"
    tool.write_text('#!/bin/sh\nexit "$2"\n')
    tool.chmod(0o755)
    found = {**ENV, "PATH": f"{run.directory}:{ENV['PATH']}"}
    run(str(tool), "apply", "0")
    run("tool", "apply", "3", env=found)
    run("tool", "apply", "3", env=found)
    run("sh", "-c", "exit 7")
    assert (counted("tool apply", 0), counted("tool apply", 3)) == (1, 2)
    # What is no verb has no series of its own.
    assert counted("sh", 7) == 1


def test_runs_in_the_directory_with_the_environment_given(run: Runner) -> None:
    run("sh", "-c", "pwd; env | grep -v '^\\(PWD\\|SHLVL\\|_\\|OLDPWD\\)='", env={**ENV, "A": "b c"})
    assert run.lines[0] == str(run.directory)
    assert sorted(run.lines[1:]) == ["A=b c", f"PATH={ENV['PATH']}"]


def test_gives_input_and_an_empty_one_by_default(run: Runner) -> None:
    run("cat", stdin=b"secret\x00\xff\n" * 100_000)
    assert len(run.lines) == 100_000
    assert run("cat").output == ""


def test_log_is_private_and_grows(run: Runner) -> None:
    run("echo", "one")
    finished = run("echo", "two")
    assert finished.output == "two\n"
    assert run.lines == ["one", "two"]
    assert run.log.read_text() == "one\ntwo\n"
    assert run.log.stat().st_mode & 0o777 == 0o600


def test_lines_come_while_the_command_runs(run: Runner) -> None:
    seen_while_alive: list[bool] = []

    def take(line: str) -> None:
        if line.isdigit():
            seen_while_alive.append(Path(f"/proc/{line}").exists())
            (run.directory / "go").touch()

    finished = run("sh", "-c", "echo $$; while [ ! -e go ]; do sleep 0.02; done; echo end", on_line=take)
    assert seen_while_alive == [True]
    assert finished.returncode == 0


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"a\r\nb\n\nc", ["a", "b", "", "c"]),
        (b"\xff\xfe\n\xc3\xa9\n", ["\ufffd\ufffd", "\u00e9"]),
        (b"", []),
        (b"\n", [""]),
    ],
)
def test_lines_of_any_bytes(run: Runner, written: bytes, lines: list[str]) -> None:
    run(*python(f"import sys; sys.stdout.buffer.write({written!r})"))
    assert run.lines == lines


def test_a_character_split_between_two_writes_is_one_character(run: Runner) -> None:
    # Who has read the first line has read the half character behind it.
    code = """
import os, time
os.write(1, b"first\\n\\xc3")
while not os.path.exists("go"):
    time.sleep(0.02)
os.write(1, b"\\xa9\\n")
"""

    def take(line: str) -> None:
        run.lines.append(line)
        (run.directory / "go").touch()

    run(*python(code), on_line=take)
    assert run.lines == ["first", "\u00e9"]


def test_a_long_line_is_cut_and_the_next_one_is_whole(run: Runner) -> None:
    size = process.LINE_BYTES
    run(*python(f"print('x' * {3 * size + 7}); print('next')"))
    assert [len(line) for line in run.lines] == [size, 4]
    assert run.lines[1] == "next"


def test_a_flood_is_read_whole_in_bounded_memory(run: Runner) -> None:
    count = 300_000
    seen = 0

    def take(line: str) -> None:
        nonlocal seen
        assert line == f"line {seen} " + "x" * 40
        seen += 1

    code = f"for i in range({count}): print('line', i, 'x' * 40)"
    finished = run(*python(code), on_line=take)
    assert seen == count
    assert len(finished.output.encode()) == process.TAIL_BYTES
    assert finished.output.endswith(f"line {count - 1} {'x' * 40}\n")


def test_stop_interrupts_once_and_waits(run: Runner) -> None:
    def take(line: str) -> None:
        run.lines.append(line)
        if line == "ready":
            run.stop.set()
        if run.lines.count("going on") == 5:
            (run.directory / "go").touch()

    finished = run("sh", "-c", SLOW, on_line=take)
    assert [line for line in run.lines if line != "going on"] == ["ready", "interrupt 1"]
    assert (finished.returncode, finished.stopped, finished.killed) == (5, True, False)


def test_what_does_not_end_within_its_grace_is_killed(run: Runner) -> None:
    finished = run("sh", "-c", SLOW, on_line=run.stop_on("ready"), grace=0.1)
    assert (finished.returncode, finished.stopped, finished.killed) == (128 + 9, True, True)


def test_stop_lets_the_command_end_in_its_own_way(run: Runner) -> None:
    finished = run("sh", "-c", COUNTER, "sh", "1", on_line=run.stop_on("ready"))
    assert finished == Finished(5, "ready\ninterrupt 1\n", timed_out=False, stopped=True, killed=False)


def test_stop_reaches_the_whole_group(run: Runner) -> None:
    (run.directory / "inner").write_text(COUNTER)
    script = "trap 'echo outer' INT; sh inner 1; exit 7"
    finished = run("sh", "-c", script, on_line=run.stop_on("ready"))
    assert sorted(run.lines) == ["interrupt 1", "outer", "ready"]
    assert finished.returncode == 7


def test_ctrl_c_at_the_worker_does_not_reach_the_command(run: Runner) -> None:
    # The terminal signals the worker's session only; how the command ends is the worker's decision.
    run(*python("import os; print(os.getsid(0), os.getpgid(0), os.getpid())"))
    session, group, pid = (int(word) for word in run.lines[0].split())
    assert session != os.getsid(0)
    assert group == pid


def test_another_signal_can_be_the_interrupt(run: Runner) -> None:
    script = "trap 'echo term; exit 6' TERM; echo ready; while :; do sleep 0.05; done"
    finished = run("sh", "-c", script, on_line=run.stop_on("ready"), interrupt=signal.SIGTERM)
    assert (finished.returncode, finished.stopped) == (6, True)


def test_timeout_interrupts(run: Runner) -> None:
    finished = run("sleep", "600", timeout=0.4)
    assert (finished.timed_out, finished.stopped, finished.killed) == (True, False, False)
    # SIGINT from the launcher; SIGTERM if a busy machine had not even come as far as the command.
    assert finished.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def test_timeout_before_the_command_was_even_started(run: Runner) -> None:
    finished = run("sleep", "600", timeout=0.0)
    assert (finished.timed_out, finished.killed) == (True, False)
    assert finished.returncode > 128


def test_nothing_is_started_once_stop_is_set(run: Runner) -> None:
    run.stop.set()
    finished = run("touch", "started")
    assert finished == Finished(128 + 2, "", timed_out=False, stopped=True, killed=False)
    assert not (run.directory / "started").exists()


def test_a_fault_of_whoever_watches_does_not_stop_the_command(run: Runner) -> None:
    def take(line: str) -> None:
        raise LookupError(line)

    finished = run("sh", "-c", "echo one; echo two; echo three > made", on_line=take)
    assert (finished.returncode, finished.stopped, finished.unobserved) == (0, False, 2)
    assert (run.directory / "made").exists()


def test_a_stop_request_is_obeyed_though_whoever_watches_is_at_fault(run: Runner) -> None:
    def take(line: str) -> None:
        run.stop.set()
        raise LookupError(line)

    finished = run("sh", "-c", COUNTER, "sh", "1", on_line=take)
    assert finished.stopped
    assert run.log.read_text() == "ready\ninterrupt 1\n"


def test_an_observer_that_raises_stopped_stops_the_command_gracefully(run: Runner) -> None:
    def take(line: str) -> None:
        raise Stopped(line)

    with pytest.raises(Stopped, match="ready"):
        run("sh", "-c", COUNTER, "sh", "1", on_line=take)
    assert run.log.read_text() == "ready\ninterrupt 1\n"


def test_an_asynchronous_exception_stops_the_command_gracefully(run: Runner) -> None:
    # How Dramatiq interrupts an actor that is out of time, or whose worker shuts down.
    ready = threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            run("sh", "-c", COUNTER, "sh", "1", on_line=lambda _: ready.set())
        except KeyboardInterrupt as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(GUARD_SECONDS)
    identity = ctypes.c_ulong(thread.ident or 0)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(KeyboardInterrupt)) == 1
    thread.join(GUARD_SECONDS)
    assert not thread.is_alive()
    assert len(raised) == 1
    assert run.log.read_text() == "ready\ninterrupt 1\n"


# Tells its own process id and its launcher's, and lives on for a while after it was asked to stop.
SLOW_TO_STOP = """
trap 'sleep 0.5; echo saved; exit 0' INT
echo "$$ $PPID"; while :; do sleep 0.05; done
"""


def kill_launcher(run: Runner) -> Callable[[str], None]:
    """Return an observer that kills the launcher when the command has told its process id."""

    def take(line: str) -> None:
        run.lines.append(line)
        if line != "saved":
            os.kill(int(line.split()[1]), signal.SIGKILL)

    return take


def test_a_command_whose_launcher_was_killed_is_waited_for(run: Runner) -> None:
    finished = run("sh", "-c", SLOW_TO_STOP, on_line=kill_launcher(run))
    assert finished.returncode == 128 + signal.SIGKILL
    assert run.lines[-1] == "saved"


def test_a_command_without_its_launcher_is_killed_after_the_grace(run: Runner) -> None:
    deaf = "trap '' INT; echo \"$$ $PPID\"; while :; do sleep 0.05; done"
    finished = run("sh", "-c", deaf, on_line=kill_launcher(run), grace=0.3)
    assert finished.returncode == 128 + signal.SIGKILL
    assert not lives(int(run.lines[0].split()[0]))


def test_missing_program_is_named(run: Runner) -> None:
    with pytest.raises(ToolMissing, match="beta9-no-such-tool was not found") as caught:
        run("beta9-no-such-tool")
    assert caught.value.remedy
    with pytest.raises(ToolMissing):
        run("./absent")
    with pytest.raises(ToolMissing):
        run("sh", env={})


def test_program_beside_the_directory(run: Runner) -> None:
    tool = run.directory / "tool"
    tool.write_text("#!/bin/sh\necho here\n")
    tool.chmod(0o755)
    assert run("./tool").output == "here\n"


def test_no_two_commands_share_a_log(run: Runner) -> None:
    refusals: list[AlreadyRunning] = []

    def take(_line: str) -> None:
        with pytest.raises(AlreadyRunning) as caught:
            run("true")
        refusals.append(caught.value)

    run("echo", "once", on_line=take)
    assert len(refusals) == 1
    assert run("true").returncode == 0


def test_no_descriptor_or_process_is_left(run: Runner) -> None:
    run("true")
    before = sorted(Path("/proc/self/fd").iterdir())
    run("cat", stdin=b"x")
    with pytest.raises(Stopped):
        run("sh", "-c", "echo; sleep 600", on_line=lambda _: (_ for _ in ()).throw(Stopped("told")))
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    assert not [pid for pid in children if b"launcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


# As in a worker, the command is started by a thread.
WORKER = """
import sys, threading
from pathlib import Path
from beta9_provisioning.engine.processes import process
directory = Path(sys.argv[1])
def work():
    process.run(["sh", "-c", sys.argv[2], "sh", "1"], cwd=directory, env={"PATH": sys.argv[3]},
        log=directory / "log", stop=threading.Event(), timeout=90,
        on_line=lambda line: print(line, flush=True))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def is_free(run: Runner) -> bool:
    try:
        run("true")
    except AlreadyRunning:
        return False
    return True


def test_a_killed_worker_leaves_a_command_that_ends_gracefully(run: Runner) -> None:
    command = [sys.executable, "-c", WORKER, str(run.directory), COUNTER, ENV["PATH"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        worker.kill()
    until(lambda: is_free(run), "the child holds the log no more: it has ended")
    assert run.log.read_text() == "ready\ninterrupt 1\n"
