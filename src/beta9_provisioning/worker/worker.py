"""One worker: claims operations, runs them, and wakes what waited behind them."""

from collections.abc import Callable

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import failed
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.database_errors import Backoff, Trouble, describe, trouble
from beta9_provisioning.kit.queue import JobQueue, QueueUnavailable
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.store import Claim, claim, waiting
from beta9_provisioning.operations.records.versions import NewerThanWorker
from beta9_provisioning.operations.run.runner import Runner, Unfinished
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.worker.heartbeat import Heartbeat
from beta9_provisioning.worker.metrics import Metrics

log = structlog.get_logger(__name__)


class SchemaMisfit(Exception):
    """The database's schema no longer fits this program; the message says what to do."""


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
    ) -> None:
        self.name = runtime.process_name()
        self._factory = factory
        self._queue = queue
        self._runner = runner
        self._metrics = metrics
        self._actor = actor
        self._lease_seconds = lease_seconds
        self._stopping = False
        self.heartbeat = Heartbeat(engine, factory, lease_seconds, give_up)

    def shut_down(self) -> None:
        """Take no more operations, and ask the running ones to stop."""
        self._stopping = True
        self.heartbeat.stop_all(StopReason.WORKER_STOPPED)

    def run(self, operation_id: str) -> None:
        """Run an operation if it is there to be taken; a message that came twice does nothing."""
        asked = runtime.monotonic()
        try:
            taken = self._claim(operation_id)
        except SQLAlchemyError as error:
            # The row is still queued: the reconciler sends again.
            failed("claim", error, operation_id=operation_id)
            return
        except (NewerThanWorker, SchemaMisfit) as error:
            log.warning("operation_left", operation_id=operation_id, detail=str(error))
            return
        if taken is None:
            return
        self._metrics.dispatch.observe(taken.waited)
        stop = Stop()
        self.heartbeat.hold(taken.lease_token, stop, since=asked)
        if self._stopping:
            stop.request(StopReason.WORKER_STOPPED)
        began = runtime.monotonic()
        try:
            with self._metrics.running.track_inprogress():
                status = self._runner.run(taken, stop)
        finally:
            self.heartbeat.release(taken.lease_token)
        if status is Unfinished.LEASE_LOST:
            self._metrics.leases_lost.inc()
        self._metrics.duration.labels(taken.kind, status).observe(runtime.monotonic() - began)
        self._wake(taken.environment_id)

    def _claim(self, operation_id: str) -> Claim | None:
        """Claim an operation; ask again when the answer to the commit was lost: it may be ours to run."""
        token = runtime.uuid4()
        backoff = Backoff()
        until = runtime.monotonic() + self._lease_seconds / 4
        committing = False
        while committing or not self._stopping:
            try:
                with self._factory() as session:
                    # The schema may have moved on since this process started.
                    if (misfit := schema.misfit(session)) is not None:
                        raise SchemaMisfit(misfit.message)
                    taken = claim(
                        session,
                        operation_id,
                        worker=self.name,
                        liveness_key=self.heartbeat.liveness_key,
                        lease_seconds=self._lease_seconds,
                        token=token,
                    )
                    committing = True
                    session.commit()
                    return taken
            except SQLAlchemyError as error:
                if not committing or trouble(error) is Trouble.FAULT or runtime.monotonic() > until:
                    raise
                log.warning("claim_unanswered", operation_id=operation_id, error=describe(error))
                runtime.sleep(backoff.next())
        return None

    def _wake(self, environment_id: str) -> None:
        """Send the hint for what may go on now: a destroy that waited, or the operation's next attempt.

        The reconciler does if this fails.
        """
        try:
            with transaction(self._factory) as session:
                following = waiting(session, environment_id)
            if following is not None:
                self._queue.send(self._actor, following)
                log.info("hint_sent", operation_id=following, environment_id=environment_id)
        except SQLAlchemyError as error:
            failed("wake", error, environment_id=environment_id)
        except QueueUnavailable as error:
            log.warning("hint_not_sent", environment_id=environment_id, error=str(error))
