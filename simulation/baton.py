"""The baton: threads are real, one of them runs at a time, and a seeded generator says which one and when.

A thread that sleeps, waits, or speaks to somebody gives the baton away; whoever is due next gets it, and time
jumps to when that is. So the same seed makes the same history, whatever the machine does.
"""

import hashlib
import heapq
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_KEPT_LINES = 4000


class Killed(BaseException):
    """The process of this thread was killed: nothing it does from now on has any effect."""


class Stuck(Exception):
    """A thread waits for what cannot come any more; a fault of the simulation itself."""


@dataclass(eq=False)
class Process:
    """A simulated process of the product.

    Attributes:
        name: which, in traces.
        rate: how many seconds its host counts in one.
        cut_until: until when it reaches no database.
        frozen_until: until when none of its threads runs.
        on_death: called when it is killed, before anything else happens.
    """

    name: str
    rate: float = 1.0
    alive: bool = True
    cut_since: float = 0.0
    cut_until: float = 0.0
    frozen_since: float = 0.0
    frozen_until: float = 0.0
    tasks: list["Task"] = field(default_factory=list)
    on_death: list[Callable[[], None]] = field(default_factory=list)


class Task:
    """A thread of a process, as the baton knows it.

    Attributes:
        tag: what it works for, which threads that it starts take over.
        thread: the identifier of the real thread, once it runs.
    """

    def __init__(self, name: str, process: Process, number: int, tag: str) -> None:
        self.name = name
        self.process = process
        self.number = number
        self.tag = tag
        self.gate = threading.Lock()
        self.gate.acquire()
        self.ticket = 0
        self.is_parked = False
        self.is_over = False
        self.waiting_for: tuple[Signal, ...] = ()
        self.over: Signal | None = None
        self.thread: int | None = None


class Signal:
    """Something that tasks wait for. It wakes them; what it means is for them to look at."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: list[Task] = []


class Baton:
    """Who runs, and what time it is (seconds since the start)."""

    def __init__(self, seed: int, *, listener: Callable[[str], None] | None = None) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.latency = random.Random(self.chance.getrandbits(64))
        self.points = 0
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = listener
        self._digest = hashlib.blake2b(digest_size=12)
        self._heap: list[tuple[float, int, Task | Callable[[], None], int]] = []
        self._count = 0
        self._tasks = 0
        self._processes: set[Process] = set()
        self.nobody = Process("world")
        self.current = self._new_task("driver", self.nobody, "")
        self._crash: BaseException | None = None
        self._driver = self.current

    # Traces.

    @property
    def trace(self) -> str:
        """Return the hash of all that has happened so far."""
        return self._digest.hexdigest()

    def note(self, what: str) -> None:
        """Write one line into the trace."""
        line = f"{self.now:.6f} {self.current.process.name} {self.current.name} {what}"
        self.points += 1
        self._digest.update(line.encode())
        self.lines.append(line)
        if self._listener is not None:
            self._listener(line)

    # Time.

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Do something at a time of the world; it must not wait."""
        self._push(max(when, self.now), do, 0)

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something so many seconds from now; it must not wait."""
        self._push(self.now + max(seconds, 0.0), do, 0)

    def sleep(self, seconds: float) -> None:
        """Let so many seconds of the world pass for the present task."""
        self.wait((), seconds)

    def pause(self, what: str) -> None:
        """Let others come between: a point at which somebody is spoken to, which takes a moment."""
        self.note(what)
        draw = self.latency.random()
        self.sleep(draw * 0.004 if draw < 0.97 else self.latency.random() * 0.4)

    def wait(self, signals: Iterable[Signal], seconds: float | None = None) -> None:
        """Wait for one of the signals or for the time to pass, whatever is first.

        Raises:
            Killed: the process was killed meanwhile, or before.
        """
        task = self.current
        self.check()
        task.waiting_for = tuple(signals)
        for signal in task.waiting_for:
            signal.waiters.append(task)
        task.ticket += 1
        task.is_parked = True
        if seconds is not None:
            self._push(self.now + max(seconds, 0.0), task, task.ticket)
        self._switch(task)

    def check(self) -> None:
        """Do nothing, unless the process of the present task was killed.

        Raises:
            Killed: it was.
        """
        if not self.current.process.alive:
            raise Killed

    def wake(self, signal: Signal) -> None:
        """Wake those who wait for a signal, in an order of chance."""
        waiters, signal.waiters = signal.waiters, []
        for task in waiters:
            self.resume(task, self.latency.random() * 0.001)

    def resume(self, task: Task, seconds: float = 0.0) -> None:
        """Let a task that waits go on soon."""
        if task.is_parked:
            self._forget_waits(task)
            task.ticket += 1
            self._push(self.now + seconds, task, task.ticket)

    # Processes and threads.

    def begin(
        self, name: str, process: Process, run: Callable[[], object], *, tag: str | None = None
    ) -> Task:
        """Start a thread of a process; it comes to run when the present one waits."""
        task = self._new_task(name, process, self.current.tag if tag is None else tag)
        task.over = Signal()
        task.is_parked = True
        task.ticket += 1
        self._push(self.now + self.latency.random() * 0.001, task, task.ticket)
        threading.Thread(target=self._live, args=(task, run), name=f"sim-{name}", daemon=True).start()
        return task

    def kill(self, process: Process) -> None:
        """End a process at once: its threads do nothing any more, not even what they do when they end."""
        if not process.alive:
            return
        process.alive = False
        process.frozen_until = 0.0
        for do in process.on_death:
            do()
        for task in list(process.tasks):
            if task is not self.current:
                self.resume(task)

    def unwind(self) -> None:
        """End all processes, and let their threads come to their ends."""
        for process in list(self._processes):
            self.kill(process)
        while any(process.tasks for process in self._processes):
            self.sleep(0.01)

    def crashed(self, error: BaseException) -> None:
        """Have the driver raise what must not happen."""
        if self._crash is None:
            self._crash = error
        self.resume(self._driver)

    def _new_task(self, name: str, process: Process, tag: str) -> Task:
        self._tasks += 1
        task = Task(name, process, self._tasks, tag)
        process.tasks.append(task)
        if process is not self.nobody:
            self._processes.add(process)
        return task

    def _live(self, task: Task, run: Callable[[], object]) -> None:
        task.gate.acquire()
        task.thread = threading.get_ident()
        try:
            if task.process.alive:
                run()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  told by the driver
            if task.process.alive:
                self.crashed(error)
        task.is_over = True
        task.process.tasks.remove(task)
        assert task.over is not None
        self.wake(task.over)
        self._switch(None)

    def _switch(self, task: Task | None) -> None:
        following = self._next()
        if following is not task:
            self.current = following
            following.gate.release()
            if task is None:
                return
            task.gate.acquire()
        if task is self._driver and self._crash is not None:
            error, self._crash = self._crash, None
            raise error
        if not task.process.alive:
            raise Killed

    def _next(self) -> Task:
        while self._heap:
            when, _, item, ticket = heapq.heappop(self._heap)
            if not isinstance(item, Task):
                self.now = max(self.now, when)
                try:
                    item()
                except BaseException as error:  # noqa: BLE001  told by the driver
                    self.crashed(error)
                continue
            if item.ticket != ticket or not item.is_parked:
                continue
            frozen = item.process.frozen_until
            if frozen > max(self.now, when) and item.process.alive:
                self._push(frozen, item, ticket)
                continue
            self.now = max(self.now, when)
            item.is_parked = False
            self._forget_waits(item)
            return item
        self._crash = Stuck("nothing is due any more")
        self._driver.is_parked = False
        return self._driver

    def _forget_waits(self, task: Task) -> None:
        for signal in task.waiting_for:
            if task in signal.waiters:
                signal.waiters.remove(task)
        task.waiting_for = ()

    def _push(self, when: float, item: Task | Callable[[], None], ticket: int) -> None:
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, item, ticket))
