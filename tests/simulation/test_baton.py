"""Real threads, one at a time, in simulated time."""

import pytest
from simulation.baton import Baton, Process, Signal, Stuck
from simulation.host import SimulatedEvent, SimulatedHost, SimulatedLock

from beta9_provisioning.kit.runtime import Event


def history(seed: int) -> tuple[list[str], float]:
    """Let three threads speak to somebody, and return what came in which order, and when it was over."""
    baton, said = Baton(seed), []
    process = Process("it")

    def speak(name: str) -> None:
        for number in range(5):
            baton.pause(f"{name} says {number}")
            said.append(f"{name}{number}")

    for name in "abc":
        baton.begin(name, process, lambda name=name: speak(name))  # type: ignore[misc]
    baton.sleep(3600.0)
    return said, baton.now


def test_a_seed_says_who_comes_when_and_an_hour_takes_no_time() -> None:
    first, over = history(1)
    assert over == 3600.0
    assert sorted(first) == sorted(f"{name}{number}" for name in "abc" for number in range(5))
    assert history(1) == (first, over)
    assert any(history(seed)[0] != first for seed in range(2, 6))


def test_a_killed_process_does_nothing_any_more_not_even_when_it_ends() -> None:
    baton, done = Baton(1), []
    process = Process("it")

    def work() -> None:
        try:
            baton.pause("works")
            baton.sleep(10.0)
            done.append("worked")
        finally:
            baton.pause("tidies up")
            done.append("tidied")

    task = baton.begin("work", process, work)
    baton.after(5.0, lambda: baton.kill(process))
    baton.sleep(20.0)
    assert task.is_over
    assert done == []


def test_a_frozen_process_goes_on_later() -> None:
    baton, at = Baton(1), []
    process = Process("it")

    def work() -> None:
        baton.sleep(1.0)
        at.append(baton.now)

    baton.begin("work", process, work)
    baton.sleep(0.5)
    process.frozen_until = 30.0
    baton.sleep(60.0)
    assert at == [30.0]


def test_hosts_whose_clocks_are_off_wait_longer_and_count_more() -> None:
    baton, seen = Baton(1), []
    host = SimulatedHost(baton)
    process = Process("it", rate=2.0)

    def work() -> None:
        before, began = host.monotonic(), baton.now
        host.sleep(10.0)
        seen.append((round(host.monotonic() - before, 6), round(baton.now - began, 6)))

    baton.begin("work", process, work)
    baton.sleep(60.0)
    assert seen == [(10.0, 5.0)]


def test_events_and_locks_let_others_run() -> None:
    baton, said = Baton(1), []
    event: Event = SimulatedEvent(baton)
    lock = SimulatedLock(baton)
    process = Process("it")

    def first() -> None:
        with lock:
            said.append("first has it")
            assert not event.wait(1.0)
            assert event.wait(10.0)
            said.append("first gives it back")

    def second() -> None:
        baton.sleep(2.0)
        event.set()
        with lock:
            said.append("second has it")

    baton.begin("first", process, first)
    baton.begin("second", process, second)
    baton.sleep(30.0)
    assert said == ["first has it", "first gives it back", "second has it"]


def test_a_fault_of_a_thread_is_the_driver_s() -> None:
    baton = Baton(1)

    def work() -> None:
        raise ValueError("it")

    baton.begin("work", Process("it"), work)
    with pytest.raises(ValueError, match="it"):
        baton.sleep(10.0)


def test_waiting_for_what_cannot_come_is_told() -> None:
    with pytest.raises(Stuck):
        Baton(1).wait([Signal()])
