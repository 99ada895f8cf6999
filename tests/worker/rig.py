"""Workers of the tests: genuine queue, database and threads; workflows of the test's own."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import dramatiq
import redis
from sqlalchemy import Engine, func, select, text, update
from tests.operations.rows import make_environment, take
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.queue import ACTOR, BACKLOG_KEY, NAMESPACE, Queue, make_broker
from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from beta9_provisioning.operations.records.leases import Observer
from beta9_provisioning.operations.records.model import AttemptRow, OperationRow
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Runner, Step
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.actors import register
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.worker import Worker

_LOOK_SECONDS = 0.02


class Work:
    """One-step workflows that count what runs. A step ends at once, unless the test holds its kind back."""

    def __init__(self) -> None:
        self.ran: list[tuple[Kind, str]] = []
        self._lock = threading.Lock()
        self._gates = {kind: threading.Event() for kind in Kind}
        self._errors: dict[Kind, Exception] = {}
        for gate in self._gates.values():
            gate.set()

    def hold_back(self, kind: Kind) -> None:
        """Keep operations of this kind running until they are let go or stopped."""
        self._gates[kind].clear()

    def let_go(self, kind: Kind) -> None:
        self._gates[kind].set()

    def fail(self, kind: Kind, error: Exception) -> None:
        """Have operations of this kind end with an error."""
        self._errors[kind] = error

    def count(self, kind: Kind) -> int:
        """How many operations of this kind have begun to run."""
        with self._lock:
            return sum(1 for ran, _ in self.ran if ran is kind)

    def workflow_of(self, claim: Claim) -> tuple[Step, ...]:
        """What a runner asks for."""
        if claim.kind is Kind.DESTROY:
            return (Step("work", "Working", OperationStatus.DESTROYING, Reason.TERRAFORM_FAILED, self._work),)
        last = Step("work", "Working", OperationStatus.BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, _nothing)
        return (
            Step("plan", "Planning", OperationStatus.PLANNING, Reason.CONFIGURATION, self._work),
            Step("apply", "Applying", OperationStatus.APPLYING, Reason.TERRAFORM_FAILED, _nothing),
            last,
        )

    def _work(self, context: Context) -> None:
        kind = context.claim.kind
        with self._lock:
            self.ran.append((kind, context.claim.operation_id))
        until(
            lambda: self._gates[kind].wait(_LOOK_SECONDS) or context.stop.event.is_set(),
            "the operation is let go or stopped",
        )
        if context.stop.event.is_set():
            raise Stopped("The work was stopped.")
        if kind in self._errors:
            raise self._errors[kind]


def _nothing(_: Context) -> None:
    """Do nothing."""


def make_worker(
    engine: Engine,
    sessions: Sessions,
    queue: Queue,
    settings: Settings,
    work: Work,
    *,
    lease_seconds: float = 30.0,
    metrics: Metrics | None = None,
    slots: int = 64,
    most_of_one: int = 0,
) -> Worker:
    """Return a worker that runs the test's workflows; its heartbeat is not started."""
    return Worker(
        engine,
        sessions,
        queue,
        Runner(sessions, settings, new_synthesizer(), work.workflow_of),
        metrics or Metrics(),
        actor=ACTOR,
        lease_seconds=lease_seconds,
        give_up=nothing,
        slots=slots,
        most_of_one=most_of_one,
    )


def nothing() -> None:
    """Do not end the process of the tests."""


@contextmanager
def consuming(redis_url: str, worker: Worker, *, threads: int) -> Iterator[None]:
    """Have a worker take messages, in as many threads, as its process does."""
    broker = make_broker(redis_url)
    register(broker, worker)
    consumer = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=40)
    consumer.queue_prefetch = threads
    consumer.start()
    try:
        yield
    finally:
        consumer.stop(timeout=int(GUARD_SECONDS * 1000))
        broker.close()


def hints(redis_url: str) -> list[str]:
    """Return the operation ids of the messages that wait, oldest first."""
    with redis.Redis.from_url(redis_url) as client:
        ids = client.lrange(BACKLOG_KEY, 0, -1)
        messages = [client.hget(f"{BACKLOG_KEY}.msgs", one) for one in ids]
    return [dramatiq.Message.decode(message).args[0] for message in messages if message is not None]


def lose_redis(redis_url: str) -> None:
    """Delete everything that Dramatiq has in Redis, as a Redis without persistence does when it restarts."""
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{NAMESPACE}:*"):
            client.delete(key)


def wait_long_ago(sessions: Sessions, *operation_ids: str, seconds: float = 60.0) -> None:
    """Make operations look as if they had been requested that long ago."""
    with transaction(sessions) as session:
        session.execute(
            update(OperationRow)
            .where(OperationRow.id.in_(operation_ids))
            .values(created_at=func.clock_timestamp() - timedelta(seconds=seconds))
        )


def experienced(factory: Sessions) -> Observer:
    """Return an observer that has looked for a whole lease: each look at its clock takes an hour."""
    hours = itertools.count()
    observer = Observer(factory.kw["bind"], 6 * 3600.0, lambda: 3600.0 * next(hours))
    for _ in range(4):
        observer.look()
    return observer


def lose_worker(sessions: Sessions) -> Claim:
    """Return the claim of a running operation whose worker has been silent for longer than its lease."""
    claim = take(sessions, make_environment(sessions).operation_id)
    with transaction(sessions) as session:
        session.execute(
            update(AttemptRow)
            .where(AttemptRow.lease_token == claim.lease_token)
            .values(
                heartbeat_at=func.clock_timestamp() - timedelta(seconds=60),
                lease_expires_at=func.clock_timestamp() - timedelta(seconds=30),
            )
        )
    return claim


def attempt(sessions: Sessions, claim: Claim) -> AttemptRow:
    """Read an attempt."""
    with transaction(sessions) as session:
        return session.scalars(select(AttemptRow).where(AttemptRow.lease_token == claim.lease_token)).one()


def row_waiters(sessions: Sessions) -> int:
    """Return how many statements on this database wait for a lock that another transaction holds."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with transaction(sessions) as session:
        return int(session.scalar(query) or 0)


def lock_holder(sessions: Sessions, liveness_key: int) -> int | None:
    """Return the process id of the server process that holds a worker's liveness lock."""
    query = text(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND ((classid::bigint << 32) | objid::bigint) = :key"
    )
    with transaction(sessions) as session:
        pid = session.scalar(query, {"key": liveness_key})
    return None if pid is None else int(pid)
