"""One answer for all who ask the same at the same time, and none that is older than the question."""

import asyncio
import logging

import pytest

from beta9_provisioning.api.together import Together


class Slow:
    """Answers with the number of the asking, when told so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gates: list[asyncio.Event] = []
        self.fails = False

    async def ask(self, question: str) -> int:
        self.asked.append(question)
        number = len(self.asked)
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
        if self.fails:
            raise ConnectionError
        return number


async def settled() -> None:
    """Let everybody run who can."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_who_comes_while_it_is_asked_gets_no_answer_that_began_before() -> None:
    async def run() -> None:
        slow = Slow()
        together = Together(slow.ask)
        first = asyncio.create_task(together.answer("key"))
        await settled()
        late = [asyncio.create_task(together.answer("key")) for _ in range(50)]
        await settled()
        assert slow.asked == ["key"]
        slow.gates[0].set()
        await settled()
        slow.gates[1].set()
        assert await first == 1
        assert set(await asyncio.gather(*late)) == {2}
        assert slow.asked == ["key", "key"]

    asyncio.run(run())


def test_other_questions_wait_for_nobody() -> None:
    async def run() -> None:
        slow = Slow()
        together = Together(slow.ask)
        asked = [asyncio.create_task(together.answer(name)) for name in ("one", "two")]
        await settled()
        assert slow.asked == ["one", "two"]
        for gate in slow.gates:
            gate.set()
        assert await asyncio.gather(*asked) == [1, 2]

    asyncio.run(run())


def test_one_that_goes_away_takes_the_answer_from_nobody() -> None:
    async def run() -> None:
        slow = Slow()
        together = Together(slow.ask)
        gone, stays = (asyncio.create_task(together.answer("key")) for _ in range(2))
        await settled()
        gone.cancel()
        await settled()
        slow.gates[0].set()
        assert await stays == 1
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(run())


def test_a_failure_is_everybodys_and_the_next_asking_is_a_new_one(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        slow = Slow()
        together = Together(slow.ask)
        slow.fails = True
        both = [asyncio.create_task(together.answer("key")) for _ in range(2)]
        abandoned = asyncio.create_task(together.answer("other"))
        await settled()
        abandoned.cancel()
        for gate in slow.gates:
            gate.set()
        found = await asyncio.gather(*both, return_exceptions=True)
        assert [type(one) for one in found] == [ConnectionError, ConnectionError]
        slow.fails = False
        again = asyncio.create_task(together.answer("key"))
        await settled()
        slow.gates[-1].set()
        assert await again == 3

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert not caplog.records
