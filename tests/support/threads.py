"""Who started which thread, and that a test's threads end with it.

A thread that stays writes into the next test's log, and uses what that test has put in its place.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import pytest
from tests.support.waiting import GUARD_SECONDS

_starters: WeakKeyDictionary[threading.Thread, threading.Thread] = WeakKeyDictionary()
# jsii's Node.js serves this process until its end, whichever test has started it.
_shared = {"process.stderr_sink"}


def note_starters(patch: pytest.MonkeyPatch) -> None:
    """Remember of every thread from now on which one has started it: the standard library does not."""
    start = threading.Thread.start

    def noting(thread: threading.Thread) -> None:
        _starters[thread] = threading.current_thread()
        start(thread)

    patch.setattr(threading.Thread, "start", noting)


@contextmanager
def shared(name: str) -> Iterator[None]:
    """Let threads of this name stay meanwhile: they belong to something that several tests use."""
    _shared.add(name)
    try:
        yield
    finally:
        _shared.remove(name)


@contextmanager
def all_end(guard_seconds: float = GUARD_SECONDS) -> Iterator[None]:
    """Check that threads which were started in this block end with it, or soon after.

    Not those that a thread from before the block has started: a server of several tests takes new ones for
    its requests, and they end when it pleases.
    """
    before = set(threading.enumerate())
    ours = threading.current_thread()
    yield
    staying = []
    for thread in set(threading.enumerate()) - before:
        if _origin(thread, before) in (None, ours) and thread.name not in _shared:
            thread.join(guard_seconds)
            if thread.is_alive():
                staying.append(thread.name)
    assert not staying, f"threads were left running: {', '.join(sorted(staying))}"


def _origin(thread: threading.Thread, before: set[threading.Thread]) -> threading.Thread | None:
    """Return which of the earlier threads this one goes back to; None if that is unknown."""
    starter = _starters.get(thread)
    while starter is not None and starter not in before:
        starter = _starters.get(starter)
    return starter
