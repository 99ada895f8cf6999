"""What faults met: in the middle of which of the product's functions a process was when it was struck.

A run is long enough when it meets nothing new any more; the number of operations says little about that
(ADR 29).
"""

import sys
from collections.abc import Iterable
from types import FrameType

from simulation.baton import Process

_PRODUCT = "beta9_provisioning."
# In their functions everybody is who waits for anything; who called them says more.
_TOOLS = ("beta9_provisioning.kit.",)

Meeting = tuple[str, str]
"""The kind of a fault, and module and function that it met."""


def met(kind: str, processes: Iterable[Process]) -> set[Meeting]:
    """Return what a fault of a kind meets now in these processes; none of their threads may be running."""
    frames = sys._current_frames()
    threads = [task.thread for process in processes for task in process.tasks if not task.is_over]
    places = (_place(frames.get(thread)) for thread in threads if thread is not None)
    return {(kind, place) for place in places if place is not None}


def _place(frame: FrameType | None) -> str | None:
    """Return the innermost function of the product in a stack."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_PRODUCT) and not module.startswith(_TOOLS):
            return f"{module.removeprefix(_PRODUCT)}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return None
