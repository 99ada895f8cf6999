"""Keep a stack in the foreground of a terminal until somebody or something ends it."""

import signal
import threading
from pathlib import Path

from beta9_provisioning.local.processes import tail
from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.stack import Stack
from beta9_provisioning.local.state import State

_CHECK_SECONDS = 0.5


def wait_for_end(stack: Stack, state: State) -> None:
    """Wait for Ctrl-C, SIGTERM, or the end of one of the processes; then stop the stack.

    Raises:
        ServiceError: a process ended by itself; the message ends with its log.
    """
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    while not told.wait(_CHECK_SECONDS) and not state.ended():
        continue
    ended = state.ended()
    if ended and stack.state() is None:
        return  # `local down` did it
    stack.down()
    if ended:
        first = ended[0]
        raise ServiceError(
            f"{first.name} ended by itself. Its log ({first.log}) ends:\n{tail(Path(first.log))}"
        )
