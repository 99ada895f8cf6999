"""Connections of a pool, counted while they are used, leave the pool, or are lost."""

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from beta9_provisioning.kit.database import connect, own_connection
from beta9_provisioning.kit.pool_metrics import count_connections


@pytest.fixture
def pool(database_url: str) -> tuple[Engine, CollectorRegistry]:
    engine = connect(database_url, pool_size=3)
    registry = CollectorRegistry()
    count_connections(engine, registry)
    return engine, registry


def in_use(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("provisioning_database_connections_in_use")


def test_connections_are_counted_while_they_are_used(pool: tuple[Engine, CollectorRegistry]) -> None:
    engine, registry = pool
    assert registry.get_sample_value("provisioning_database_connections_max") == 3
    assert in_use(registry) == 0
    with engine.connect():
        with engine.connect():
            assert in_use(registry) == 2
        assert in_use(registry) == 1
    assert in_use(registry) == 0
    engine.dispose()


def test_one_that_left_the_pool_is_not_counted(pool: tuple[Engine, CollectorRegistry]) -> None:
    engine, registry = pool
    with own_connection(engine):
        assert in_use(registry) == 0
    assert in_use(registry) == 0
    engine.dispose()


def test_one_that_was_lost_is_not_counted_for_ever(pool: tuple[Engine, CollectorRegistry]) -> None:
    engine, registry = pool
    with engine.connect() as lost, engine.connect() as other:
        pid = lost.scalar(text("SELECT pg_backend_pid()"))
        lost.rollback()
        other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(DBAPIError):
            lost.execute(text("SELECT 1"))
        assert in_use(registry) == 1
    assert in_use(registry) == 0
    with engine.connect():
        assert in_use(registry) == 1
    assert in_use(registry) == 0
    engine.dispose()
