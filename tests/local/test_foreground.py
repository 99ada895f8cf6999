"""A stack in the foreground ends with Ctrl-C, with `local down`, and when a process dies."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.foreground import wait_for_end
from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.stack import Stack
from beta9_provisioning.local.state import Member, State, exclusive


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Stands for the API of a running stack."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield child
    child.kill()
    child.wait()


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path, lambda _: None)


@pytest.fixture
def state(stack: Stack, process: subprocess.Popen[bytes]) -> State:
    log = stack.directory / "api.log"
    log.write_text("the last words\n")
    started = ProcessRef.of(process.pid).started
    member = Member("api", process.pid, started, 1, str(log), "SIGTERM", GUARD_SECONDS)
    running = State("http://localhost:1", True, [member])
    running.save(stack.directory)
    return running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_stack(
    stack: Stack, state: State, process: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    handler = signal.getsignal(number)

    def interrupt() -> None:
        until(lambda: signal.getsignal(number) is not handler, "the signal is listened to")
        os.kill(os.getpid(), number)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    wait_for_end(stack, state)
    interrupter.join()
    assert process.wait(GUARD_SECONDS) == -signal.SIGTERM
    assert stack.state() is None
    assert signal.getsignal(number) is handler


def test_a_process_that_dies_is_named_with_its_last_words(
    stack: Stack, state: State, process: subprocess.Popen[bytes]
) -> None:
    process.kill()
    with pytest.raises(ServiceError, match=r"(?s)api ended by itself.*the last words"):
        wait_for_end(stack, state)
    assert stack.state() is None


def test_local_down_is_no_failure(stack: Stack, state: State) -> None:
    assert stack.down()
    wait_for_end(stack, state)


def test_local_down_at_the_same_time_is_no_failure(
    stack: Stack, state: State, process: subprocess.Popen[bytes]
) -> None:
    with exclusive(stack.directory):
        process.kill()
        wait_for_end(stack, state)
