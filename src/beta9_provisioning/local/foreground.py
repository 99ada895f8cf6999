"""Keep a stack in the foreground of a terminal until somebody or something ends it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beta9_provisioning.local.processes import tail
from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.stack import Stack
from beta9_provisioning.local.state import StackBusy, State

_CHECK_SECONDS = 0.5


def wait_for_end(stack: Stack, state: State) -> None:
    """Wait for Ctrl-C, SIGTERM, or the end of one of the processes; then stop the stack.

    Raises:
        ServiceError: a process ended by itself; the message ends with its log.
    """
    with _told_by_signals() as told:
        while not told.wait(_CHECK_SECONDS) and not state.ended():
            continue
        ended = state.ended()
        try:
            was_ours = stack.down()
        except StackBusy:  # `local down` is at it
            return
    if ended and was_ours:
        first = ended[0]
        raise ServiceError(
            f"{first.name} ended by itself. Its log ({first.log}) ends:\n{tail(Path(first.log))}"
        )


@contextmanager
def _told_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set; both do nothing else until the block ends."""
    told = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
