"""Keep a stack in the foreground of a terminal until somebody or something ends it."""

from pathlib import Path

from beta9_provisioning.kit.signals import stop_signals
from beta9_provisioning.local.processes import tail
from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.stack import Stack
from beta9_provisioning.local.state import StackBusy, State

_CHECK_SECONDS = 0.5


def wait_for_end(stack: Stack, state: State) -> None:
    """Wait for Ctrl-C, SIGTERM, SIGHUP, or the end of one of the processes; then stop the stack.

    Raises:
        ServiceError: a process ended by itself; the message ends with its log.
    """
    with stop_signals() as told:
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
