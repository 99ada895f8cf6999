"""Clock, waits, threads and chance: what the control plane takes of its host it takes from here.

The code that decides (operations, worker, and the waits below them) uses these functions and nothing else; a
lint forbids it `time`, `threading` and the like. So all of it can run in a world whose clock and whose order
of threads somebody else decides: a simulation installs its own `Runtime` once, at its edge, before it makes
any of the product's objects. A process that installs nothing has the host's.
"""

import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Event = threading.Event
"""What threads wait for; made by `event`."""
Thread = threading.Thread
"""Made by `thread`."""


class Timer(Protocol):
    """Does something once, later, unless it is cancelled before."""

    def start(self) -> None:
        """Begin to count."""

    def cancel(self) -> None:
        """Do nothing any more."""

    def join(self) -> None:
        """Wait until it has done its work or noticed that it is cancelled."""


class Future(Protocol[T_co]):
    """What a call on a pool will return."""

    def result(self) -> T_co:
        """Wait for the call's end and return, or raise, what it did."""


class Pool(Protocol):
    """Threads that take calls."""

    def submit(self, do: Callable[..., T], /, *args: Any) -> Future[T]:
        """Have a call made on one of the threads."""


class Runtime(Protocol):
    """Everything of the host that decides what happens when.

    Attributes:
        chance: draws ids, tokens and jitter.
    """

    chance: random.Random

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""

    def event(self) -> Event:
        """Return an event that is not set."""

    def lock(self) -> AbstractContextManager[object]:
        """Return a lock, to be held in a `with` statement by one thread at a time."""

    def thread(self, target: Callable[..., object], *args: object, name: str, daemon: bool) -> Thread:
        """Return a thread that is not started."""

    def pool(self, most: int, name: str) -> AbstractContextManager[Pool]:
        """Return at most so many threads that take calls; leaving the `with` statement waits for them."""

    def timer(self, seconds: float, do: Callable[[], object]) -> Timer:
        """Return a timer that is not started."""

    def process_name(self) -> str:
        """Return which process this is, for people: its host and number."""


class Host:
    """The operating system's clock, threads and randomness."""

    chance: random.Random = secrets.SystemRandom()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)

    def event(self) -> Event:
        """Return an event that is not set."""
        return threading.Event()

    def lock(self) -> AbstractContextManager[object]:
        """Return a lock."""
        return threading.Lock()

    def thread(self, target: Callable[..., object], *args: object, name: str, daemon: bool) -> Thread:
        """Return a thread that is not started."""
        return threading.Thread(target=target, args=args, name=name, daemon=daemon)

    def pool(self, most: int, name: str) -> AbstractContextManager[Pool]:
        """Return threads that take calls."""
        return ThreadPoolExecutor(most, thread_name_prefix=name)

    def timer(self, seconds: float, do: Callable[[], object]) -> Timer:
        """Return a timer that is not started."""
        return threading.Timer(seconds, do)

    def process_name(self) -> str:
        """Return host and number of this process."""
        return f"{socket.gethostname()}:{os.getpid()}"


_installed: Runtime = Host()


def install(other: Runtime) -> Runtime:
    """Use another runtime in this process from now on; return the one before, to be installed again."""
    global _installed
    before, _installed = _installed, other
    return before


def monotonic() -> float:
    """Return seconds that never go back."""
    return _installed.monotonic()


def sleep(seconds: float) -> None:
    """Let so many seconds pass."""
    _installed.sleep(seconds)


def event() -> Event:
    """Return an event that is not set."""
    return _installed.event()


def lock() -> AbstractContextManager[object]:
    """Return a lock, to be held in a `with` statement by one thread at a time."""
    return _installed.lock()


def thread(target: Callable[..., object], *args: object, name: str, daemon: bool = False) -> Thread:
    """Return a thread that is not started."""
    return _installed.thread(target, *args, name=name, daemon=daemon)


def pool(most: int, name: str) -> AbstractContextManager[Pool]:
    """Return at most so many threads that take calls; leaving the `with` statement waits for them."""
    return _installed.pool(most, name)


def timer(seconds: float, do: Callable[[], object]) -> Timer:
    """Return a timer that is not started."""
    return _installed.timer(seconds, do)


def process_name() -> str:
    """Return which process this is, for people: its host and number."""
    return _installed.process_name()


def chance() -> random.Random:
    """Return what draws ids, tokens and jitter."""
    return _installed.chance


def uuid4() -> UUID:
    """Return a random UUID."""
    return UUID(int=_installed.chance.getrandbits(128), version=4)
