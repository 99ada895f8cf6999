"""The previous and the first release, and a place where programs of several releases run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.releases import FIRST, PREVIOUS, NoHistory, Program, Release, prepare
from tests.support.sealing import unsealed
from tests.support.simulated import World, simulated_world
from tests.upgrades.fleet import Fleet


def _released(release: Release) -> Program:
    try:
        return prepare(release, variables=unsealed())
    except NoHistory as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def previous() -> Program:
    """The previous release; without the history the test is skipped."""
    return _released(PREVIOUS)


@pytest.fixture(scope="session")
def first() -> Program:
    """0.1.0; without the history the test is skipped."""
    return _released(FIRST)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A simulated cloud; every test leaves it empty."""
    with simulated_world(tmp_path_factory.mktemp("cloud"), is_published=False) as world:
        yield world


@pytest.fixture
def fleet(empty_database_url: str, redis_url: str, cloud: World, tmp_path: Path) -> Iterator[Fleet]:
    """An empty database, an empty queue and a simulated cloud that takes no time."""
    (tmp_path / "fleet").mkdir()
    yield Fleet(empty_database_url, redis_url, cloud, tmp_path / "fleet")
    cloud.be_slow(0)
