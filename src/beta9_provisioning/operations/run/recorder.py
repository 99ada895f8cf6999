"""Writes a running operation's events in small batches, so that Terraform never waits for the database."""

from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import failed, repeat
from beta9_provisioning.kit.backoff import Backoff
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.database_errors import Trouble, trouble
from beta9_provisioning.operations.records.journal import NewEvent
from beta9_provisioning.operations.records.store import Claim, LeaseLost, record
from beta9_provisioning.operations.run.stopping import Stop, StopReason

_BATCH_SECONDS = 0.1
_BATCH_EVENTS = 500
_LONGEST_PAUSE = 2.0
# How long a stopping worker waits for rows that others hold: well below what platforms grant a shutdown.
STOPPED_SECONDS = 15.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Recorder:
    """The journal of one attempt: `emit` from any thread, written within about 0.1 s.

    While the database is away events wait in memory and are written when it is back, each once. An event
    that the database refuses is logged and left out: it holds up no other. Once the lease is lost nothing can
    be written any more, and the operation is asked to stop.
    """

    def __init__(self, factory: Sessions, claim: Claim, stop: Stop) -> None:
        self._factory = factory
        self._claim = claim
        self._stop = stop
        self._lock = runtime.lock()
        self._writing = runtime.lock()
        self._pending: list[NewEvent] = []
        self._done_with = 0
        self._most = _BATCH_EVENTS
        self._progress: dict[str, Any] | None = None
        self._done = runtime.event()
        self._thread = runtime.thread(
            copy_context().run, self._run, name=f"recorder-{claim.operation_id}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def emit(self, type_: str, message: str, **data: Any) -> None:
        """Take an event; `message` is in the past tense."""
        event = NewEvent(type_, message, data, self._claim.operation_id)
        with self._lock:
            self._pending.append(event)

    def progress(self, step: str, *, done: int = 0, total: int | None = None) -> None:
        """Take the operation's present progress."""
        with self._lock:
            self._progress = {"step": step, "done": done, "total": total}

    def flush(self) -> None:
        """Write everything taken so far.

        Raises:
            LeaseLost: when this attempt no longer holds its operation.
            SQLAlchemyError: when the database is away or busy; what was taken is kept.
        """
        with self._writing:
            while self._flush_batch():
                pass

    def insist(self, do: Callable[[Session], T]) -> T:
        """Write everything taken so far, then do something in a transaction and return what it returns.

        A database that is away is waited for as long as the lease lasts; once a stop was requested, rows that
        others hold locked are, too, for so many seconds only. A change whose answer was lost is made again,
        which the store bears.

        Raises:
            LeaseLost: when this attempt no longer holds its operation, or cannot write any more.
            SQLAlchemyError: what the database refuses for good.
        """
        backoff = Backoff()
        give_up: float | None = None
        while True:
            if self._stop.reason is StopReason.LEASE_LOST:
                raise LeaseLost("the lease was lost while the database was away")
            try:
                self.flush()
                with transaction(self._factory) as session:
                    return do(session)
            except SQLAlchemyError as error:
                kind = trouble(error)
                if kind is Trouble.FAULT:
                    raise
                failed("operation", error)
                if self._stop.event.is_set() and give_up is None:
                    give_up = runtime.monotonic() + STOPPED_SECONDS
                if kind is Trouble.BUSY and give_up is not None and runtime.monotonic() > give_up:
                    raise LeaseLost("a row stayed locked, and the worker has to stop") from error
                backoff.pause(self._stop.event)

    def _flush_batch(self) -> bool:
        with self._lock:
            events, progress = self._pending[: self._most], self._progress
        if not events and progress is None:
            self._most = _BATCH_EVENTS
            return False
        try:
            with transaction(self._factory) as session:
                record(session, self._claim, events, progress, after=self._done_with)
        except SQLAlchemyError as error:
            if trouble(error) is not Trouble.FAULT:
                raise
            if len(events) > 1:
                self._most = 1  # to find the one that is refused
                return True
            failed("recorder", error, refused=[event.type for event in events])
        with self._lock:
            del self._pending[: len(events)]
            self._done_with += len(events)
            if self._progress is progress:
                self._progress = None
        return True

    def _run(self) -> None:
        repeat("recorder", self._write, every=_BATCH_SECONDS, ended=self._done, longest=_LONGEST_PAUSE)

    def _write(self) -> None:
        try:
            self.flush()
        except LeaseLost:
            self._stop.request(StopReason.LEASE_LOST)
            self._done.set()
