"""Histories of a fixed set of seeds, each with one kind of fault, and what the judge must find in mutants."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from simulation.__main__ import settings_for
from simulation.database import Database
from simulation.faults import KINDS, Fault, Plan, draw
from simulation.history import History, Outcome
from sqlalchemy import Engine, func, select

from beta9_provisioning.kit.database import own_connection
from beta9_provisioning.operations.records.leases import Observer, abandoned

Simulated = tuple[Database, Path]


def run(
    simulated: Simulated,
    seed: int,
    plan: Plan,
    observer: Callable[[Engine, float], Observer] = Observer,
) -> Outcome:
    database, place = simulated
    return History(seed, plan, database, settings_for(place), place, observer=observer).run()


SEEDS = {kind: seed for seed, kind in enumerate(KINDS, start=20)} | {"store-away": 40}


@pytest.mark.parametrize(("kind", "seed"), list(SEEDS.items()))
def test_every_operation_ends_as_its_user_wanted(simulated: Simulated, kind: str, seed: int) -> None:
    outcome = run(simulated, seed, replace(draw(seed, [kind], is_small=True), workers=2))
    assert outcome.violations == []
    assert outcome.operations >= 6


# Found by long runs, each once the seed of a violation: an environment is deleted before another attempt has
# adopted what a lost one made; and a state could be written nowhere.
FOUND = [("kill-pod", 503), ("store-away", 50)]


@pytest.mark.parametrize(("kind", "seed"), FOUND)
def test_what_was_found_once_is_not_found_again(simulated: Simulated, kind: str, seed: int) -> None:
    assert run(simulated, seed, draw(seed, [kind], is_small=True)).violations == []


def test_what_the_cloud_fails_to_make_fails_the_operation_and_can_be_deleted(simulated: Simulated) -> None:
    outcome = run(simulated, 2, replace(draw(2, (), is_small=True), failing=0.05))
    assert outcome.violations == []
    assert outcome.kinds["provision failed"]


class Hasty(Observer):
    """The guard of takeover as it was: nobody is judged for one lease after the server's start."""

    def __init__(self, engine: Engine, lease_seconds: float) -> None:
        super().__init__(engine, lease_seconds)
        self._of, self._lease = engine, lease_seconds

    def look(self) -> Sequence[tuple[UUID, str]]:
        with own_connection(self._of) as connection:
            up = connection.scalar(
                select(func.extract("epoch", func.clock_timestamp() - func.pg_postmaster_start_time()))
            )
            return abandoned(connection) if up is not None and up > self._lease else []


def test_the_old_guard_of_takeover_is_found(simulated: Simulated) -> None:
    """A failover frees all liveness locks, and the new server has been up for long."""
    failovers = tuple(Fault(70.0 + 25.0 * number, "failover", 12.0, number) for number in range(3))
    plan = replace(draw(1, (), is_small=True), environments=6, workers=3, window=130.0, faults=failovers)
    rules = {violation.rule for violation in run(simulated, 1, plan, Hasty).violations}
    assert "judged" in rules
    assert run(simulated, 1, plan).violations == []
