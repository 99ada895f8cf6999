"""The heartbeat of one worker process: renews leases, keeps the liveness lock, passes cancels on."""

import secrets
import threading
import time
from uuid import UUID

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.leases import hold_liveness, renew
from beta9_provisioning.operations.stopping import Stop, StopReason

log = structlog.get_logger(__name__)


class Heartbeat:
    """Renews the leases of all operations of this process in one statement.

    A process that could not renew for half a lease stops its operations by itself, so that their
    children have ended before somebody else may take over.
    """

    def __init__(self, engine: Engine, factory: Sessions, lease_seconds: float) -> None:
        self.liveness_key = secrets.randbits(62)
        self._engine = engine
        self._factory = factory
        self._lease_seconds = lease_seconds
        self._interval = min(5.0, lease_seconds / 6)
        self._held: dict[UUID, tuple[Stop, float]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._liveness: Session | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Take the liveness lock, then beat in the background.

        Raises:
            DBAPIError: when the database is away.
        """
        self._keep_liveness()
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeat and give the liveness lock back."""
        self._ended.set()
        self._thread.join()
        if self._liveness is not None:
            self._liveness.close()

    def hold(self, token: UUID, stop: Stop) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held[token] = (stop, time.monotonic())

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
        while not self._ended.wait(self._interval):
            try:
                self._keep_liveness()
                self._renew()
            except DBAPIError as error:
                log.warning("heartbeat_failed", error=str(error.orig))
                self._liveness = None
            self._stop_unrenewed()

    def _keep_liveness(self) -> None:
        if self._liveness is None:
            # AUTOCOMMIT: the session stays open for the life of the process, but in no transaction.
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            self._liveness = Session(connection)
            if not hold_liveness(self._liveness, self.liveness_key):
                log.warning("liveness_lock_taken")
        else:
            # A no-op query keeps the connection honest; a broken one raises here.
            self._liveness.connection().exec_driver_sql("SELECT 1")

    def _renew(self) -> None:
        with self._lock:
            tokens = list(self._held)
        if not tokens:
            return
        began = time.monotonic()
        with transaction(self._factory) as session:
            renewed = {row.lease_token: row for row in renew(session, tokens, self._lease_seconds)}
        with self._lock:
            for token in tokens:
                held = self._held.get(token)
                if held is None:
                    continue
                row = renewed.get(token)
                if row is None:
                    held[0].request(StopReason.LEASE_LOST)
                    continue
                self._held[token] = (held[0], began)
                if row.cancel_requested:
                    held[0].request(StopReason.CANCELLED)

    def _stop_unrenewed(self) -> None:
        deadline = time.monotonic() - self._lease_seconds / 2
        with self._lock:
            for stop, renewed_at in self._held.values():
                if renewed_at < deadline:
                    stop.request(StopReason.LEASE_LOST)
