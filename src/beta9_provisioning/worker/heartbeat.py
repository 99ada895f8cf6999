"""The heartbeat of one worker process: renews leases, keeps the liveness lock, passes cancels on."""

from collections.abc import Callable
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.engine.processes import watchdog
from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import failed, repeat
from beta9_provisioning.kit.database import Sessions, own_connection, transaction
from beta9_provisioning.kit.database_errors import Trouble, trouble
from beta9_provisioning.operations.records.leases import Renewed, hold_liveness, renew
from beta9_provisioning.operations.run.stopping import Stop, StopReason

log = structlog.get_logger(__name__)

_WATCHES_A_BEAT = 2
# Longer than `kit.database.hasten` lets a beat take.
_STOP_SECONDS = 12.0


class Heartbeat:
    """Renews the leases of all operations of this process in one statement.

    A process that could not renew for half a lease stops its operations by itself. Their children are
    given a third of a lease to stop, so that they have ended before somebody else may take over. A thread
    of its own sees to that: the one that renews may hang on a connection that has gone silent.

    A beat that finds the database away or busy is a beat; when none has come to its end for a whole lease,
    `give_up` is called.
    """

    def __init__(
        self,
        engine: Engine,
        factory: Sessions,
        lease_seconds: float,
        give_up: Callable[[], None],
        *,
        interval: float | None = None,
        clock: Callable[[], float] = runtime.monotonic,
    ) -> None:
        """Take what the heart needs to beat.

        Args:
            engine: for the liveness lock.
            factory: for renewals.
            lease_seconds: how long a renewed lease lasts.
            give_up: ends the process, which can neither keep its leases nor notice that they are lost.
            interval: seconds between two beats; a sixth of a lease, and at most 2.5 s, unless it is given.
            clock: tells by its seconds how long ago a lease was renewed.
        """
        self.liveness_key = runtime.chance().getrandbits(62)
        self._engine = engine
        self._factory = factory
        self._lease_seconds = lease_seconds
        self._interval = min(2.5, lease_seconds / 6) if interval is None else interval
        self._clock = clock
        self._held: dict[UUID, tuple[Stop, float]] = {}
        self._give_up = give_up
        self._missed = 0
        self._lock = runtime.lock()
        self._ended = runtime.event()
        self._liveness: Connection | None = None
        self._threads = [
            runtime.thread(self._run, name="heartbeat", daemon=True),
            runtime.thread(self._watch, name="lease-watch", daemon=True),
        ]

    def start(self) -> None:
        """Take the liveness lock, then beat in the background.

        Raises:
            SQLAlchemyError: when the database is away.
        """
        self._keep_liveness()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the heartbeat and give the liveness lock back.

        A beat that does not end within 12 s is left to itself; the lock ends with the process at the latest.
        """
        self._ended.set()
        until = runtime.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - runtime.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self._drop_liveness()

    def hold(self, token: UUID, stop: Stop, *, since: float | None = None) -> None:
        """Renew this lease from now on; it was given at `since` (seconds of the clock), or now."""
        with self._lock:
            self._held[token] = (stop, self._clock() if since is None else since)

    def release(self, token: UUID) -> None:
        """Renew this lease no more."""
        with self._lock:
            self._held.pop(token, None)

    def stop_all(self, reason: StopReason) -> None:
        """Ask all operations of this process to stop."""
        with self._lock:
            for stop, _ in self._held.values():
                stop.request(reason)

    def _run(self) -> None:
        repeat("heartbeat", self.beat, every=self._interval, ended=self._ended, longest=self._interval)

    def _watch(self) -> None:
        every = self._interval / _WATCHES_A_BEAT
        repeat("lease-watch", self.look_at_leases, every=every, ended=self._ended, longest=every)

    def beat(self) -> None:
        """Keep the liveness lock and the leases; neither waits for the other to succeed."""
        is_sound = True
        for work in (self._keep_liveness, self._renew):
            try:
                work()
            except Exception as error:  # noqa: BLE001  the other work is still to be done
                failed("heartbeat", error, beat=work.__name__.strip("_"))
                is_sound &= trouble(error) is not Trouble.FAULT
        if is_sound:
            self._missed = 0

    def look_at_leases(self) -> None:
        """Stop what could not be renewed for half a lease, and give up when no beat comes to its end."""
        watchdog.kick()
        now = self._clock()
        with self._lock:
            for stop, renewed_at in self._held.values():
                if renewed_at < now - self._lease_seconds / 2:
                    stop.request(StopReason.LEASE_LOST)
        # Counted in looks, not in seconds: a machine that slept has missed neither.
        self._missed += 1
        if self._missed > _WATCHES_A_BEAT * self._lease_seconds / self._interval:
            self._give_up()

    def _keep_liveness(self) -> None:
        """Hold the lock on a connection that is no pool's, in no transaction, for the life of the process.

        The lock counts how often it was taken, and all of it ends with the connection, so taking it at
        every beat also shows that the connection lives, and takes a lock that was not to be had before.
        """
        try:
            if self._liveness is None:
                self._liveness = own_connection(self._engine)
            if not hold_liveness(self._liveness, self.liveness_key):
                log.warning("liveness_lock_taken")
        except SQLAlchemyError:
            self._drop_liveness()
            raise

    def _drop_liveness(self) -> None:
        if self._liveness is not None:
            self._liveness.invalidate()
            self._liveness.close()
            self._liveness = None

    def _renew(self) -> None:
        with self._lock:
            tokens = list(self._held)
        if not tokens:
            return
        began = self._clock()
        with transaction(self._factory) as session:
            renewed = {row.lease_token: row for row in renew(session, tokens, self._lease_seconds)}
        with self._lock:
            for token in tokens:
                if token in self._held:
                    self._note(token, renewed.get(token), began)

    def _note(self, token: UUID, renewed: Renewed | None, at: float) -> None:
        stop, _ = self._held[token]
        if renewed is None:
            stop.request(StopReason.LEASE_LOST)
            return
        if renewed.is_renewed:
            self._held[token] = (stop, at)
        if renewed.cancel_requested:
            stop.request(StopReason.CANCELLED)
