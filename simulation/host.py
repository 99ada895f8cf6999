"""What the product takes of its host (`kit.runtime`), given out by the baton."""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

from beta9_provisioning.kit.runtime import Event, Future, Pool, Thread, Timer
from simulation.baton import Baton, Signal, Task

T = TypeVar("T")


class SimulatedHost:
    """Implements `kit.runtime.Runtime`: each process has its own clock, whose rate may be wrong."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self.chance = baton.chance

    def monotonic(self) -> float:
        """Return the seconds that the present process's host has counted."""
        return 1000.0 + self._baton.now * self._baton.current.process.rate

    def sleep(self, seconds: float) -> None:
        """Sleep by the host's clock."""
        self._baton.note(f"sleep {seconds:.3f}")
        self._baton.sleep(seconds / self._baton.current.process.rate)

    def event(self) -> Event:
        """Return an event."""
        return SimulatedEvent(self._baton)

    def lock(self) -> AbstractContextManager[object]:
        """Return a lock."""
        return SimulatedLock(self._baton)

    def thread(self, target: Callable[..., object], *args: object, name: str, daemon: bool) -> Thread:  # noqa: ARG002
        """Return a thread."""
        return SimulatedThread(self._baton, target, args, name)

    def pool(self, most: int, name: str) -> AbstractContextManager[Pool]:
        """Return a pool."""
        return SimulatedPool(self._baton, most, name)

    def timer(self, seconds: float, do: Callable[[], object]) -> Timer:
        """Return a timer."""
        return SimulatedTimer(self._baton, seconds, do)

    def process_name(self) -> str:
        """Return the name of the present process."""
        return self._baton.current.process.name


class SimulatedEvent(Event):
    """An event whose waits are the baton's."""

    def __init__(self, baton: Baton) -> None:
        super().__init__()
        self._baton = baton
        self._is_set = False
        self.signal = Signal()

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake who waits."""
        self._is_set = True
        self._baton.wake(self.signal)

    def clear(self) -> None:
        """Unset it."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or so many seconds of the host's clock."""
        if self._is_set:
            self._baton.check()
        else:
            rate = self._baton.current.process.rate
            self._baton.wait([self.signal], None if timeout is None else timeout / rate)
        return self._is_set


class SimulatedLock:
    """A lock, to be used in a `with` statement."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._is_held = False
        self._signal = Signal()

    def __enter__(self) -> None:
        while self._is_held:
            self._baton.wait([self._signal])
        self._is_held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_held = False
        self._baton.wake(self._signal)


class SimulatedThread(Thread):
    """A thread that holds the baton while it runs."""

    def __init__(
        self, baton: Baton, target: Callable[..., object], args: tuple[object, ...], name: str
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._baton = baton
        self._call = lambda: target(*args)
        self._task: Task | None = None

    def start(self) -> None:
        """Start it in the process of who starts it."""
        baton = self._baton
        baton.check()
        self._task = baton.begin(self.name, baton.current.process, self._call)

    def is_alive(self) -> bool:
        """Return whether it was started and has not ended."""
        return self._task is not None and not self._task.is_over

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self._task is None or self._task.is_over:
            self._baton.check()
            return
        assert self._task.over is not None
        self._baton.wait([self._task.over], timeout)


class _Call:
    def __init__(self, baton: Baton, do: Callable[[], Any]) -> None:
        self._baton = baton
        self._do = do
        self._done = Signal()
        self._is_done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._do()
        except Exception as error:  # noqa: BLE001  raised where the result is asked for
            self._error = error
        self._is_done = True
        self._baton.wake(self._done)

    def result(self) -> Any:
        while not self._is_done:
            self._baton.wait([self._done])
        if self._error is not None:
            raise self._error
        return self._value


class SimulatedPool:
    """At most so many threads that take calls."""

    def __init__(self, baton: Baton, most: int, name: str) -> None:
        self._baton = baton
        self._most = most
        self._name = name
        self._calls: deque[_Call] = deque()
        self._threads: list[SimulatedThread] = []
        self._idle = 0
        self._is_closed = False
        self._work = Signal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._baton.wake(self._work)
        for thread in self._threads:
            thread.join()

    def submit(self, do: Callable[..., T], /, *args: Any) -> Future[T]:
        """Have a call made on one of the threads."""
        call = _Call(self._baton, lambda: do(*args))
        self._calls.append(call)
        if len(self._threads) < self._most:
            thread = SimulatedThread(self._baton, self._run, (), f"{self._name}-{len(self._threads)}")
            self._threads.append(thread)
            thread.start()
        else:
            self._baton.wake(self._work)
        return call

    def _run(self) -> None:
        while True:
            if self._calls:
                self._calls.popleft().run()
            elif self._is_closed:
                return
            else:
                self._baton.wait([self._work])


class SimulatedTimer:
    """Does something once, unless it is cancelled or its process killed before; it must not wait."""

    def __init__(self, baton: Baton, seconds: float, do: Callable[[], object]) -> None:
        self._baton = baton
        self._seconds = seconds
        self._do = do
        self._process = baton.current.process
        self._is_cancelled = False

    def start(self) -> None:
        """Begin to count."""
        self._baton.after(self._seconds / self._process.rate, self._ring)

    def cancel(self) -> None:
        """Do nothing any more."""
        self._is_cancelled = True

    def join(self) -> None:
        """Return at once: a cancelled timer has nothing to end."""

    def _ring(self) -> None:
        if not self._is_cancelled and self._process.alive:
            self._do()
