"""Genuine PostgreSQL in simulated time, with its locks and its faults."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from simulation.baton import Baton, Process
from simulation.database import Database
from simulation.host import SimulatedHost
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.database_errors import Trouble, trouble

NOW = text("SELECT extract(epoch FROM clock_timestamp())::float")
NAME = text("UPDATE organizations SET name = :name WHERE id = 'default'")


class Bench:
    """A history without product: processes that speak to the database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.baton = Baton(1)

    def begin(self, name: str, work: Callable[[Engine], object]) -> Process:
        """Start a process that works with an engine of its own."""
        process = Process(name)
        self.baton.begin(name, process, lambda: work(self.database.engine(process, 4)))
        return process

    def name(self) -> str:
        """Return what the organization is called, as everybody else would see it."""
        return str(self.database.ask("SELECT name FROM organizations")[0][0])


@pytest.fixture
def bench(simulated: tuple[Database, Path]) -> Iterator[Bench]:
    bench = Bench(simulated[0])
    before = runtime.install(SimulatedHost(bench.baton))
    bench.database.begin(bench.baton)
    yield bench
    bench.baton.unwind()
    bench.database.end()
    bench.database.lost_answers = 0.0
    runtime.install(before)


def test_the_server_tells_simulated_time(bench: Bench) -> None:
    times: list[float] = []

    def work(engine: Engine) -> None:
        with engine.connect() as connection:
            times.append(connection.scalar(NOW) or 0.0)
            runtime.sleep(3600.0)
            times.append(connection.scalar(NOW) or 0.0)

    bench.begin("it", work)
    bench.baton.sleep(4000.0)
    assert 3600.0 <= times[1] - times[0] < 3601.0


def test_who_waits_for_a_row_lets_its_holder_go_on(bench: Bench) -> None:
    said: list[str] = []

    def hold(engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(NAME, {"name": "first"})
            runtime.sleep(2.0)
            said.append("gives it back")

    def wait(engine: Engine) -> None:
        runtime.sleep(1.0)
        with engine.begin() as connection:
            connection.execute(NAME, {"name": "second"})
            said.append("has it")

    bench.begin("holder", hold)
    bench.begin("waiter", wait)
    bench.baton.sleep(10.0)
    assert said == ["gives it back", "has it"]
    assert bench.name() == "second"


def test_a_row_that_stays_locked_is_busy_after_the_bound_of_simulated_time(bench: Bench) -> None:
    seen: list[tuple[Trouble, float]] = []

    def hold(engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(NAME, {"name": "first"})
            runtime.sleep(60.0)

    def wait(engine: Engine) -> None:
        runtime.sleep(1.0)
        began = bench.baton.now
        try:
            with engine.begin() as connection:
                connection.execute(NAME, {"name": "second"})
        except DBAPIError as error:
            seen.append((trouble(error), bench.baton.now - began))

    bench.begin("holder", hold)
    bench.begin("waiter", wait)
    bench.baton.sleep(30.0)
    ((kind, seconds),) = seen
    assert kind is Trouble.BUSY
    assert 3.0 <= seconds < 4.0


def test_what_a_killed_process_had_locked_is_free(bench: Bench) -> None:
    def hold(engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(NAME, {"name": "first"})
            runtime.sleep(60.0)

    def wait(engine: Engine) -> None:
        runtime.sleep(1.0)
        with engine.begin() as connection:
            connection.execute(NAME, {"name": "second"})

    holder = bench.begin("holder", hold)
    bench.begin("waiter", wait)
    bench.baton.after(2.0, lambda: bench.baton.kill(holder))
    bench.baton.sleep(10.0)
    assert bench.name() == "second"


def test_a_commit_whose_answer_is_lost_was_made(bench: Bench) -> None:
    seen: list[Trouble] = []

    def work(engine: Engine) -> None:
        bench.database.lost_answers = 1.0
        try:
            with engine.begin() as connection:
                connection.execute(NAME, {"name": "changed"})
        except DBAPIError as error:
            seen.append(trouble(error))

    bench.begin("it", work)
    bench.baton.sleep(10.0)
    assert seen == [Trouble.LOST]
    assert bench.name() == "changed"


def test_a_server_that_is_away_refuses_and_comes_back(bench: Bench) -> None:
    seen: list[str] = []

    def work(engine: Engine) -> None:
        for _ in range(3):
            try:
                with engine.connect() as connection:
                    connection.scalar(NOW)
                seen.append("answered")
            except DBAPIError as error:
                seen.append(trouble(error))
            runtime.sleep(10.0)

    bench.begin("it", work)
    bench.baton.after(5.0, lambda: bench.database.restart(10.0))
    bench.baton.sleep(60.0)
    assert seen == ["answered", Trouble.LOST, "answered"]


def test_a_process_that_is_cut_off_loses_its_sessions_after_a_while(bench: Bench) -> None:
    seen: list[tuple[str, float]] = []

    def work(engine: Engine) -> None:
        with engine.connect() as connection:
            connection.scalar(NOW)
            runtime.sleep(5.0)
            began = bench.baton.now
            try:
                connection.scalar(NOW)
                seen.append(("answered", bench.baton.now - began))
            except DBAPIError as error:
                seen.append((trouble(error), bench.baton.now - began))

    process = bench.begin("it", work)
    bench.baton.after(4.0, lambda: bench.database.cut(process, 40.0))
    bench.baton.sleep(60.0)
    ((said, seconds),) = seen
    assert said == Trouble.LOST
    assert 13.0 < seconds < 16.0
