"""Hints to the workers, sent beside the request: a queue that is slow or away delays no answer.

A hint that is lost costs nothing but time, because the reconciler sends again for every queued operation.
"""

import contextlib
import queue
import threading
from contextvars import Context, copy_context

import structlog

from beta9_provisioning.kit.background import failed
from beta9_provisioning.kit.queue import ACTOR, Queue, QueueUnavailable

log = structlog.get_logger(__name__)

_WAITING = 1000
_CLOSE_SECONDS = 3.0


class Hints:
    """One thread that sends operation ids to the workers, in order; it logs in the name of who asked."""

    def __init__(self, target: Queue) -> None:
        self._target = target
        self._waiting: queue.Queue[tuple[Context, str] | None] = queue.Queue(_WAITING)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="hints", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def send(self, operation_id: str) -> None:
        """Send a hint soon; it is dropped when too many wait because the queue is away."""
        try:
            self._waiting.put_nowait((copy_context(), operation_id))
        except queue.Full:
            log.warning("hint_dropped", operation_id=operation_id)

    def close(self) -> None:
        """Send what waits, as far as that works within 3 s, and end the thread after its current try."""
        with contextlib.suppress(queue.Full):  # the queue is away, and the thread looks at `_closed`
            self._waiting.put_nowait(None)
            self._thread.join(_CLOSE_SECONDS)
        self._closed.set()

    def _send_all(self) -> None:
        while (hint := self._waiting.get()) is not None and not self._closed.is_set():
            request, operation_id = hint
            request.run(self._send, operation_id)

    def _send(self, operation_id: str) -> None:
        try:
            self._target.send(ACTOR, operation_id)
        except QueueUnavailable as error:
            log.warning("hint_not_sent", operation_id=operation_id, error=str(error))
        except Exception as error:  # noqa: BLE001  the thread must go on, whatever happens
            failed("hints", error, operation_id=operation_id)
        else:
            log.info("hint_sent", operation_id=operation_id)
