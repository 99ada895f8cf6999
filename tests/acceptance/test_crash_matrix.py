"""A seeded subset of the crash matrix, without root; `make crash-matrix` plays all of it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.crash_matrix.__main__ import cases
from tests.acceptance.crash_matrix.cases import TRIGGERS, Fault, Victim, named
from tests.acceptance.crash_matrix.life import run_case
from tests.acceptance.crash_matrix.plant import prepare
from tests.acceptance.crash_matrix.report import line

pytestmark = pytest.mark.timeout(600)
SEED = 1
SUBSET = (
    "pod@provision:terraform.resource:address=aws_eks_cluster.main,phase=start",
    "worker+redis_flushed@provision:helm.release:release=traefik,phase=start",
    "pod@destroy:terraform.planned+1",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = prepare(tmp_path_factory.mktemp("matrix"))
    yield home
    shutil.rmtree(home)


@pytest.fixture
def plant() -> Iterator[Path]:
    """A directory with a short name: providers listen on sockets below it, whose paths end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="b9-") as name:
        yield Path(name) / "plant"


@pytest.mark.parametrize("name", SUBSET)
def test_nothing_is_lost(name: str, plant: Path, prepared: Path) -> None:
    result = run_case(named(SEED, name), plant, prepared, may_isolate=False)
    assert result.is_good, line(result)


def test_the_matrix_strikes_at_every_event_and_crosses_all_victims_with_all_faults() -> None:
    # Two turns of the events, and one in five is of the other settings: what a turn leaves, the next has.
    wanted = cases(SEED, 2 * len(TRIGGERS) * 5 // 4 + 1)
    assert {case.trigger for case in wanted} >= set(TRIGGERS)
    pairs = {(case.victim, case.fault) for case in wanted if not case.default_settings}
    assert len(pairs) == len(Victim) * len(Fault) - 1


def test_a_case_follows_from_its_seed_and_number_alone() -> None:
    first = cases(SEED, 50)
    assert [named(SEED, case.name) for case in first] == first
    assert first != cases(SEED + 1, 50)
