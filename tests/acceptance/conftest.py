"""The product that most tests of this room start, and a collector of its traces."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.test_product import Product, running
from tests.support.traces import Traces, collecting


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """A collector that stacks are told of which are started from now on."""
    with collecting() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        yield traces


@pytest.fixture
def product(
    tmp_path: Path, database_url: str, clean_database: None, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Product]:
    """A stack of its own on the session's PostgreSQL and Valkey; nothing may be left in its cloud."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with running(tmp_path / "stack") as product:
        yield product
