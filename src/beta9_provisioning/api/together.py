"""One answer for all who ask the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """Asks a question once for all who wait for its answer.

    While it is being asked, those who come wait, and get the answer of the asking that begins next. Nobody
    gets one that began before he came: it may be older than what he knows. All calls are of one event loop.
    """

    def __init__(self, ask: Callable[[Question], Awaitable[Answer]]) -> None:
        """Ask nothing yet."""
        self._ask = ask
        self._begun: dict[Question, asyncio.Task[Answer]] = {}
        self._next: dict[Question, asyncio.Task[Answer]] = {}

    async def answer(self, question: Question) -> Answer:
        """Return the answer, or raise what the asking raises."""
        task = self._next.get(question)
        if task is None:
            task = self._next[question] = asyncio.create_task(self._in_turn(question))
            # What it raises is no news when all who asked have gone away.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Who goes away takes the answer from nobody else.
        return await asyncio.shield(task)

    async def _in_turn(self, question: Question) -> Answer:
        if question in self._begun:
            await asyncio.wait([self._begun[question]])
        self._begun[question] = self._next.pop(question)
        try:
            return await self._ask(question)
        finally:
            del self._begun[question]
