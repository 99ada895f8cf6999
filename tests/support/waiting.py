"""Waiting for what must come true, however long a busy machine takes for it."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

GUARD_SECONDS = 90.0
"""When something that must come true counts as never coming true: a guard against hanging, no expectation."""
_POLL_SECONDS = 0.02


def until(condition: Callable[[], T], what: str, *, every: float = _POLL_SECONDS) -> T:
    """Wait until a condition returns something true, and return that; `what` says what is waited for.

    `every` so many seconds it is looked at: more where a look costs much.
    """
    deadline = time.monotonic() + GUARD_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come true: {what}"
        time.sleep(every)
    return found
