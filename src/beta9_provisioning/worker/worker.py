"""One worker: claims operations, runs them, and wakes what waited behind them.

A message is a hint that there is something to do; what is done is what comes next in fairness
(`records/fairness.py`), which may be another operation than the one that the message names.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import failed
from beta9_provisioning.kit.backoff import Backoff
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.database_errors import Trouble, describe, trouble
from beta9_provisioning.kit.queue import JobQueue, QueueUnavailable
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.fairness import next_free
from beta9_provisioning.operations.records.store import Claim, claim
from beta9_provisioning.operations.records.versions import NewerThanWorker
from beta9_provisioning.operations.run.runner import Runner, Unfinished
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.worker.heartbeat import Heartbeat
from beta9_provisioning.worker.hinting import Hinting
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.slots import Slots

log = structlog.get_logger(__name__)

# How long a full worker keeps a message before it leaves it to others.
_FULL_SECONDS = 1.0


class SchemaMisfit(Exception):
    """The database's schema no longer fits this program; the message says what to do."""


@dataclass(frozen=True)
class Taken:
    """An operation that this worker has claimed and has to run: its lease is being renewed."""

    claim: Claim
    stop: Stop


class Worker:
    """What the actor calls. Safe to call from several threads at once."""

    def __init__(
        self,
        engine: Engine,
        factory: Sessions,
        queue: JobQueue,
        runner: Runner,
        metrics: Metrics,
        *,
        actor: str,
        lease_seconds: float,
        give_up: Callable[[], None],
        slots: int = 64,
        most_of_one: int = 0,
    ) -> None:
        """Take what it works with.

        Args:
            engine: for the heartbeat's lock.
            factory: makes sessions.
            queue: takes hints.
            runner: runs what is claimed.
            metrics: count it.
            actor: whom hints are for.
            lease_seconds: how long a lease lasts.
            give_up: ends the process.
            slots: how many operations it may run at the same time.
            most_of_one: how many of one requester may run at the same time, on all workers; 0: any.
        """
        self.name = runtime.process_name()
        self._factory = factory
        self._queue = queue
        self._runner = runner
        self._metrics = metrics
        self._actor = actor
        self._most_of_one = most_of_one
        self._hinting = Hinting(factory, queue, actor, most_of_one)
        self.slots = Slots(slots)
        self._lease_seconds = lease_seconds
        self._stopping = False
        self.heartbeat = Heartbeat(engine, factory, lease_seconds, give_up)

    def shut_down(self) -> None:
        """Take no more operations, and ask the running ones to stop."""
        self._stopping = True
        self.heartbeat.stop_all(StopReason.WORKER_STOPPED)

    def run(self, operation_id: str) -> None:
        """Take a message: run the operation whose turn it is, if there is one and a slot for it.

        A worker is full of what it took while Redis was away; then the message is left to others.
        """
        if not self.slots.take():
            runtime.sleep(_FULL_SECONDS)
            self._return(operation_id)
            return
        try:
            taken = self.take(operation_id)
            if taken is not None:
                self.work(taken)
        finally:
            self.slots.give_back()

    def take(self, hinted: str | None = None) -> Taken | None:
        """Claim the operation whose turn it is; the caller has a slot for it, and has `work` run it.

        When nothing can be taken at once, the `hinted` one is waited for: its rows may be locked just now.
        """
        asked = runtime.monotonic()
        try:
            claimed = self._claim(hinted)
        except SQLAlchemyError as error:
            # The row is still queued: the reconciler sends again.
            failed("claim", error, operation_id=hinted)
            return None
        except (NewerThanWorker, SchemaMisfit) as error:
            log.warning("operation_left", operation_id=hinted, detail=str(error))
            return None
        if claimed is None:
            return None
        self._metrics.dispatch.observe(claimed.waited)
        stop = Stop()
        self.heartbeat.hold(claimed.lease_token, stop, since=asked)
        if self._stopping:
            stop.request(StopReason.WORKER_STOPPED)
        return Taken(claimed, stop)

    def work(self, taken: Taken) -> None:
        """Run what was taken to its end, and wake what it kept waiting."""
        claimed = taken.claim
        began = runtime.monotonic()
        try:
            with self._metrics.running.track_inprogress():
                status = self._runner.run(claimed, taken.stop)
        finally:
            self.heartbeat.release(claimed.lease_token)
        if status is Unfinished.LEASE_LOST:
            self._metrics.leases_lost.inc()
        self._metrics.duration.labels(claimed.kind, status).observe(runtime.monotonic() - began)
        self._wake(claimed.environment_id)

    def _claim(self, hinted: str | None) -> Claim | None:
        """Claim the operation whose turn it is; another one when another worker was first.

        Ask again when the answer to the commit was lost: it may be ours to run.
        """
        refused: set[str] = set()
        while not self._stopping:
            claimed, tried = self._claim_one(hinted, refused)
            if claimed is not None or tried is None:
                return claimed
            refused.add(tried)
        return None

    def _claim_one(self, hinted: str | None, refused: set[str]) -> tuple[Claim | None, str | None]:
        """Try one operation; return the claim, and which one it was: None when there is none to try."""
        token = runtime.uuid4()
        backoff = Backoff()
        until = runtime.monotonic() + self._lease_seconds / 4
        chosen: str | None = None
        committing = False
        while committing or not self._stopping:
            try:
                with self._factory() as session:
                    # The schema may have moved on since this process started.
                    if (misfit := schema.misfit(session)) is not None:
                        raise SchemaMisfit(misfit.message)
                    if not committing:
                        chosen = next_free(session, most_of_one=self._most_of_one, refused=refused)
                        if chosen is None and hinted not in refused:
                            chosen = hinted
                    if chosen is None:
                        return None, None
                    claimed = claim(
                        session,
                        chosen,
                        worker=self.name,
                        liveness_key=self.heartbeat.liveness_key,
                        lease_seconds=self._lease_seconds,
                        token=token,
                        most_of_one=self._most_of_one,
                    )
                    committing = True
                    session.commit()
                    return claimed, chosen
            except SQLAlchemyError as error:
                if not committing or trouble(error) is Trouble.FAULT or runtime.monotonic() > until:
                    raise
                log.warning("claim_unanswered", operation_id=chosen, error=describe(error))
                runtime.sleep(backoff.next())
        return None, None

    def _return(self, operation_id: str) -> None:
        """Give a message back; when that fails the reconciler sends again."""
        try:
            self._queue.send(self._actor, operation_id)
        except QueueUnavailable as error:
            log.warning("hint_not_sent", operation_id=operation_id, error=str(error))

    def _wake(self, environment_id: str) -> None:
        """Send hints for what may go on now: a destroy that waited, its requester's next, another attempt.

        The reconciler does if this fails.
        """
        try:
            self._hinting.send()
        except SQLAlchemyError as error:
            failed("wake", error, environment_id=environment_id)
        except QueueUnavailable as error:
            log.warning("hint_not_sent", environment_id=environment_id, error=str(error))
