"""How long tries go on, and what ends them early: with a clock that only waiting moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.kubernetes import patience as module
from beta9_provisioning.engine.kubernetes.patience import Patience
from beta9_provisioning.kit import runtime


class Clock(threading.Event):
    """A stop event that takes no time to be waited for, and the clock of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waits: list[float] = []
        self.stops_at: int | None = None
        """Which wait is ended by a request to stop."""

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += timeout
        if len(self.waits) == self.stops_at:
            self.set()
        return self.is_set()


class _Host(runtime.Host):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        return self._clock.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    before = runtime.install(_Host(clock))
    yield clock
    runtime.install(before)


def test_delays_grow_until_the_deadline(clock: Clock) -> None:
    patience = Patience(60, clock)
    while patience.wait():
        pass
    delays = [module.FIRST_DELAY * 2**n for n in range(7)]
    # After 12.7 s the delay is at its longest; a sixth of those would end at 60.7 s.
    assert clock.waits == pytest.approx([*delays, *[module.LONGEST_DELAY] * 5])


def test_a_try_without_enough_time_is_not_begun(clock: Clock) -> None:
    assert not Patience(10, clock, least=9.9).wait()
    assert clock.waits == []


def test_waits_as_long_as_it_is_told(clock: Clock) -> None:
    assert Patience(10, clock).wait(at_least=9)
    assert clock.waits == [9]
    assert not Patience(10, clock).wait(at_least=11)
    assert clock.waits == [9]


def test_a_stop_request_ends_a_wait(clock: Clock) -> None:
    clock.stops_at = 2
    patience = Patience(60, clock)
    assert patience.wait()
    with pytest.raises(Stopped):
        patience.wait(at_least=30)


def test_a_genuine_stop_request_ends_a_genuine_wait() -> None:
    stop = threading.Event()
    stopper = threading.Thread(target=stop.set)
    stopper.start()
    with pytest.raises(Stopped):
        Patience(7200, stop).wait(at_least=3600)
    stopper.join()


@pytest.mark.parametrize(
    ("passing", "refused", "again"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_only_what_may_pass_is_tried_again(clock: Clock, passing: bool, refused: bool, again: bool) -> None:
    assert Patience(60, clock).wait_after(passing=passing, refused=refused) is again


def test_a_refusal_that_lasts_is_meant(clock: Clock) -> None:
    patience = Patience(3600, clock)
    clock.now += module.REFUSAL_SECONDS - 1
    assert patience.wait_after(passing=False, refused=True)
    clock.now += 1
    assert not patience.wait_after(passing=False, refused=True)
