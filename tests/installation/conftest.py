"""The installations of a test run."""

import pytest
from tests.installation.installations import Installations


@pytest.fixture(scope="session")
def installations(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Installations:
    """The same for all xdist workers."""
    base = tmp_path_factory.getbasetemp()
    return Installations((base if worker_id == "master" else base.parent) / "installations")
