"""The product that most tests of this room start."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.test_product import Product, running


@pytest.fixture
def product(
    tmp_path: Path, database_url: str, clean_database: None, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Product]:
    """A stack of its own on the session's PostgreSQL and Valkey; nothing may be left in its cloud."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with running(tmp_path / "stack") as product:
        yield product
