"""Signals that ask a process to end: SIGTERM, SIGINT and SIGHUP, which mean the same."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignal:
    """Whether one of the signals has come. It stays that way."""

    def __init__(self, reader: int) -> None:
        self._reader = reader

    def wait(self, seconds: float | None = None) -> bool:
        """Wait at most so long, for ever if None, and return whether a signal has come. For any thread."""
        poll = select.poll()  # one of its own: two threads may not share one
        poll.register(self._reader, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have the signals that ask for an end call `handler` until the block ends.

    SIGINT does even if the shell that started this process in the background ignores it. SIGHUP is left alone
    if it is ignored: that is what nohup is for.
    """
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [number for number in _STOP_SIGNALS if not (nohup and number is signal.SIGHUP)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Take the signals that ask for an end until the block ends; they do nothing else meanwhile.

    A handler runs in the middle of whatever the main thread does, another handler included, so it must not
    take a lock: `threading.Event.set` takes one that `wait` and itself use, and two signals at once could
    hang the process. This one writes a byte to a pipe.

    Call it on the main thread.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def tell(*_: object) -> None:
        with suppress(BlockingIOError):  # full of earlier ones
            os.write(writer, b"\0")

    try:
        with handling(tell):
            yield StopSignal(reader)
    finally:
        os.close(reader)
        os.close(writer)
