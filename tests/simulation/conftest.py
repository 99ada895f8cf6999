"""A simulation's own PostgreSQL, for all of its tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from simulation.database import Database
from simulation.server import own_database


@pytest.fixture(scope="session")
def simulated() -> Iterator[tuple[Database, Path]]:
    """The database of simulated histories, and a directory for what their workers write."""
    with own_database() as both:
        yield both
