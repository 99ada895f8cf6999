"""The poller: takes operations from the database itself while Redis is away, in the worker's own slots."""

import structlog

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import repeat
from beta9_provisioning.kit.queue import JobQueue, QueueUnavailable
from beta9_provisioning.worker.worker import Taken, Worker

log = structlog.get_logger(__name__)

# With the 2 s that a Redis is waited for that does not answer, an operation waits less than 5 s.
_EVERY_SECONDS = 1.0


class Poller:
    """Runs in every worker. When Redis is back, what it took runs on, and messages bring the rest."""

    def __init__(self, worker: Worker, queue: JobQueue, *, every: float = _EVERY_SECONDS) -> None:
        """Take what it works with; `every` so many seconds it sees whether Redis takes messages."""
        self._worker = worker
        self._queue = queue
        self._every = every
        self._is_away = False
        self._ended = runtime.event()
        self._thread = runtime.thread(self._run, name="poller", daemon=True)
        self._working: list[runtime.Thread] = []

    def start(self) -> None:
        """Work in the background."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Take nothing more, and wait at most so long for what was taken; the worker has been shut down."""
        until = runtime.monotonic() + seconds
        self._ended.set()
        for thread in (self._thread, *self._working):
            thread.join(max(0.0, until - runtime.monotonic()))

    def turn(self) -> None:
        """Take what can be taken while Redis is away, and once more when it is back: it got no hint."""
        if self._is_away:
            self._take_all()
        was_away, self._is_away = self._is_away, self._asked_in_vain()
        if self._is_away is not was_away:
            log.warning("queue_away" if self._is_away else "queue_back")
            self._take_all()

    def _run(self) -> None:
        repeat("poller", self.turn, every=self._every, ended=self._ended, longest=self._every)

    def _asked_in_vain(self) -> bool:
        try:
            self._queue.check_writable()
        except QueueUnavailable:
            return True
        return False

    def _take_all(self) -> None:
        self._working = [thread for thread in self._working if thread.is_alive()]
        while not self._ended.is_set() and self._worker.slots.take():
            taken = None
            try:
                taken = self._worker.take()
            finally:
                if taken is None:
                    self._worker.slots.give_back()
            if taken is None:
                return
            thread = runtime.thread(self._work, taken, name=f"polled-{taken.claim.operation_id}", daemon=True)
            thread.start()
            self._working.append(thread)

    def _work(self, taken: Taken) -> None:
        try:
            self._worker.work(taken)
        finally:
            self._worker.slots.give_back()
