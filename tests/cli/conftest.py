"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest
from tests.support.cli import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user who has used nothing yet."""
    (tmp_path / "config").mkdir()
    return Home(tmp_path / "config")
