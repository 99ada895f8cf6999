"""Questions to database and queue that have an answer in time, whatever hangs."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Question(Generic[T]):
    """Asks in a thread that may hang: one at a time, and it keeps neither an answer nor the process's end."""

    def __init__(self, event: str, name: str, ask: Callable[[], T], otherwise: T) -> None:
        """Take what to ask, and the answer when there is none; `event` and `name` are for the log."""
        self._event = event
        self._name = name
        self._ask = ask
        self._otherwise = otherwise
        self._asked: Future[T] | None = None

    async def answer(self, seconds: float) -> T:
        """Return the answer, or what stands for it when there is none in time."""
        if self._asked is None or self._asked.done():
            self._asked = Future()
            args = (self._asked,)
            threading.Thread(target=self._run, args=args, name=f"ask-{self._name}", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._asked)), seconds)
        except TimeoutError:
            log.warning(self._event, check=self._name, error=f"no answer within {seconds:g} s")
            return self._otherwise

    def _run(self, asked: "Future[T]") -> None:
        try:
            asked.set_result(self._ask())
        except Exception:
            log.exception(self._event, check=self._name)
            asked.set_result(self._otherwise)
