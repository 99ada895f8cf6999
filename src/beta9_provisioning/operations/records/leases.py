"""Leases: a worker's proof that it lives, its renewal, and what becomes of operations without it.

Two proofs stand side by side. A lease is renewed by heartbeat and expires when the worker falls
silent, whatever the cause. A session-level advisory lock lives exactly as long as the worker's
liveness connection, so that a process that died is known dead within seconds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    and_,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.database import own_connection
from beta9_provisioning.lifecycle import Reason
from beta9_provisioning.operations.records.model import AttemptRow, OperationRow
from beta9_provisioning.operations.records.resuming import MOST_LOST_ATTEMPTS, interrupt
from beta9_provisioning.operations.records.store import Failure, try_lock_environment

# A process without its liveness lock is believed dead after so many seconds of silence, three beats:
# one whose connection alone was lost has taken its lock again by then.
PROVEN_DEATH_SECONDS = 8.0

# Every worker holds this lock, shared, beside its own: whoever holds it is a worker that lives.
_WORKERS_LOCK = 0x6239_776F_726B_6572

_OUR_LOCKS = """pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_LOCK = "((classid::bigint << 32) | objid::bigint)"
_LIVENESS_LOCK_IS_FREE = text(
    f"NOT EXISTS (SELECT 1 FROM {_OUR_LOCKS} AND {_LOCK} = attempts.liveness_key)"  # noqa: S608  constants
)

LIVE_WORKERS: ColumnElement[int] = literal_column(
    f"""(SELECT count(DISTINCT pid) FROM {_OUR_LOCKS}
          AND ({_LOCK} = {_WORKERS_LOCK}
               OR {_LOCK} IN (SELECT liveness_key FROM attempts WHERE ended_at IS NULL)))""",  # noqa: S608  constants
    Integer,
)
"""How many workers live, as a column of any query. Of workers of 0.2.0 and before, the busy ones count; their
idle ones take what is queued at once."""

LIVE_WORKERS_BY_LOCK: ColumnElement[int] = literal_column(
    f"(SELECT count(DISTINCT pid) FROM {_OUR_LOCKS} AND {_LOCK} = {_WORKERS_LOCK})",  # noqa: S608  constants
    Integer,
)
"""The same without a look into tables, which need not be there; it misses workers of 0.2.0 and before."""


def _is_gone() -> ColumnElement[bool]:
    silence = timedelta(seconds=PROVEN_DEATH_SECONDS)
    return or_(
        AttemptRow.lease_expires_at < func.clock_timestamp(),
        and_(AttemptRow.heartbeat_at < func.clock_timestamp() - silence, _LIVENESS_LOCK_IS_FREE),
    )


@dataclass(frozen=True)
class Renewed:
    """A lease that is still held. One whose row somebody has locked could not be renewed: try again."""

    lease_token: UUID
    cancel_requested: bool
    is_renewed: bool = True


def renew(session: Session, tokens: Iterable[UUID], lease_seconds: float) -> Sequence[Renewed]:
    """Renew leases by the database's clock; those missing from the answer are lost.

    A row that somebody else has locked is left out, so that it does not hold up the others.
    """
    wanted = and_(AttemptRow.lease_token.in_(list(tokens)), AttemptRow.ended_at.is_(None))
    free = select(AttemptRow.lease_token).where(wanted).with_for_update(skip_locked=True).cte("free")
    renewed = set(
        session.scalars(
            update(AttemptRow)
            .where(AttemptRow.lease_token == free.c.lease_token)
            .values(
                heartbeat_at=func.clock_timestamp(),
                lease_expires_at=func.clock_timestamp() + timedelta(seconds=lease_seconds),
            )
            .returning(AttemptRow.lease_token)
            .execution_options(synchronize_session=False)
        )
    )
    held = session.execute(
        select(AttemptRow.lease_token, OperationRow.cancel_requested_at)
        .join(OperationRow, OperationRow.id == AttemptRow.operation_id)
        .where(wanted)
    )
    return [Renewed(token, cancelled is not None, token in renewed) for token, cancelled in held]


def hold_liveness(session: Session | Connection, liveness_key: int) -> bool:
    """Take (or keep) the session-level lock that proves this process alive; False if another has it.

    Beside it the one by which live workers are counted, which all of them share.
    """
    own = func.pg_try_advisory_lock(liveness_key)
    return bool(session.scalar(select(own, func.pg_try_advisory_lock_shared(_WORKERS_LOCK))))


def abandoned(session: Session | Connection) -> Sequence[tuple[UUID, str]]:
    """Return (lease token, environment id) of live attempts whose worker is gone, as far as the rows tell.

    A database that was away proves nothing: workers could not renew meanwhile. Whether it was is for
    `Observer` to know.
    """
    rows = session.execute(
        select(AttemptRow.lease_token, OperationRow.environment_id)
        .join(OperationRow, OperationRow.id == AttemptRow.operation_id)
        .where(AttemptRow.ended_at.is_(None), _is_gone())
    )
    return [(token, environment_id) for token, environment_id in rows]


class Observer:
    """Judges others over a session of its own, and only when that has been unbroken for one full lease.

    Whatever kept workers from renewing breaks it: a restart, crash recovery and failover end it, and a
    server, network or machine that stood still shows as a gap between two answers. For one thread.
    """

    def __init__(
        self, engine: Engine, lease_seconds: float, clock: Callable[[], float] = runtime.monotonic
    ) -> None:
        """Take an engine; nothing is connected yet. `clock` tells seconds that never jump."""
        self.pace = lease_seconds / 4
        """Longest time between two looks, in seconds."""
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._connection: Connection | None = None
        self._since = self._last = 0.0

    def look(self) -> Sequence[tuple[UUID, str]]:
        """Return (lease token, environment id) of attempts whose worker is gone beyond doubt.

        Raises:
            SQLAlchemyError: when the database is away; the count begins anew.
        """
        try:
            if self._connection is None:
                self._connection = own_connection(self._engine)
                self._since = self._last = self._clock()
            asked = self._clock()
            found = abandoned(self._connection)
        except Exception:
            self.close()
            raise
        before, self._last = self._last, self._clock()
        # A worker that renews every sixth of a lease has missed less than half of one by then.
        if self._last - before > self._lease_seconds / 2:
            self._since = self._last
        return found if asked - self._since >= self._lease_seconds else []

    def close(self) -> None:
        """Give the session up."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def take_from_lost_worker(session: Session, token: UUID, environment_id: str) -> bool:
    """End an attempt that an `Observer` has judged; False when it was renewed meanwhile.

    Also False when a row of it is locked: whoever holds it changes it now, or never lets go of it, and
    neither may hold up those who look after the others.
    """
    if not try_lock_environment(session, environment_id):
        return False  # and the attempt is left to whoever holds it
    attempt = session.scalars(
        select(AttemptRow)
        .where(AttemptRow.lease_token == token, AttemptRow.ended_at.is_(None), _is_gone())
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if attempt is None:
        return False
    failure = Failure(
        Reason.WORKER_LOST,
        "worker_lost",
        "The worker that ran the operation was lost.",
        f"So were those of {MOST_LOST_ATTEMPTS - 1} attempts before. Worker {attempt.worker} sent its last "
        f"heartbeat at {attempt.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC. What was created is in the account.",
        "Look at the memory and the logs of the workers. Then delete the environment, and create it again.",
    )
    interrupt(session, attempt, failure.reason, failure)
    return True
