"""The reconciler: sends hints for what nobody claimed again, and takes from lost workers what they held.

It also ends what has waited too long for a worker to begin it.
"""

from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import failed, repeat
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.queue import JobQueue
from beta9_provisioning.operations.records.expiry import end_overdue, overdue
from beta9_provisioning.operations.records.leases import Observer, take_from_lost_worker
from beta9_provisioning.operations.records.store import LeaseLost
from beta9_provisioning.worker.hinting import Hinting

log = structlog.get_logger(__name__)

# A hint is on its way for milliseconds; only one that is this old (seconds) may be lost.
_HINT_SECONDS = 2.0
# Longer than `kit.database.hasten` lets a statement take.
_STOP_SECONDS = 12.0


class Reconciler:
    """Runs in every worker; any number of them may do the same work at the same time.

    What one part or one environment meets holds up no other.
    """

    def __init__(
        self,
        observer: Observer,
        factory: Sessions,
        queue: JobQueue,
        actor: str,
        *,
        interval: float,
        queue_minutes: float = 1440.0,
        most_of_one: int = 0,
    ) -> None:
        """Take what it works with.

        Args:
            observer: judges workers.
            factory: makes sessions.
            queue: takes hints.
            actor: whom hints are for.
            interval: seconds between two rounds.
            queue_minutes: how long an operation may wait for its first claim.
            most_of_one: how many operations of one requester may run at the same time; 0: any.
        """
        self._observer = observer
        self._factory = factory
        self._hinting = Hinting(factory, queue, actor, most_of_one)
        self._interval = interval
        self._queue_minutes = queue_minutes
        self._due = 0.0
        self._ended = runtime.event()
        self._thread = runtime.thread(self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        """Work in the background."""
        self._due = runtime.monotonic() + self._interval
        self._thread.start()

    def stop(self) -> None:
        """End after the present round; one that does not end within 12 s is left to itself."""
        self._ended.set()
        self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._observer.close()

    def round(self) -> None:
        """Do one round.

        Raises:
            SQLAlchemyError: when the database is away.
            QueueUnavailable: when Redis is away.
        """
        has_ended = False
        try:
            has_ended = self._end_lost()
        finally:
            try:
                self._end_overdue()
            finally:
                # What waited for an end is told at once.
                self._hinting.send(older_than=0.0 if has_ended else _HINT_SECONDS)

    def _run(self) -> None:
        pace = self._observer.pace
        repeat("reconciler", self.turn, every=min(self._interval, pace), ended=self._ended, longest=pace)

    def turn(self) -> None:
        """Do a round if one is due, and else look: the observer has to more often than long intervals are."""
        if runtime.monotonic() < self._due:
            self._observer.look()
            return
        self._due = runtime.monotonic() + self._interval
        self.round()

    def _end_lost(self) -> bool:
        """End the attempts of lost workers; return whether there was any."""
        return any([self._end(token, environment_id) for token, environment_id in self._observer.look()])

    def _end(self, token: UUID, environment_id: str) -> bool:
        """End one attempt unless somebody else was first."""
        try:
            with transaction(self._factory) as session:
                taken = take_from_lost_worker(session, token, environment_id)
        except LeaseLost:
            return False
        except SQLAlchemyError as error:
            failed("reconciler", error, environment_id=environment_id)
            return False
        if taken:
            log.warning("worker_lost", environment_id=environment_id)
        return taken

    def _end_overdue(self) -> None:
        with transaction(self._factory) as session:
            found = overdue(session, self._queue_minutes)
        for operation_id, environment_id in found:
            try:
                with transaction(self._factory) as session:
                    ended = end_overdue(session, operation_id, environment_id, self._queue_minutes)
            except SQLAlchemyError as error:
                failed("reconciler", error, environment_id=environment_id)
                continue
            if ended:
                log.warning("queue_timeout", environment_id=environment_id, operation_id=operation_id)
