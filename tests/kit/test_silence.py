"""A server that stands still, or whose packets are dropped, keeps nobody who asks it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from tests.support.proxy import Proxy

from beta9_provisioning.kit.database import connect, hasten
from beta9_provisioning.kit.database_errors import Trouble, trouble

ASK = text("SELECT 1")


@contextmanager
def engine_through(proxy: Proxy, seconds: int, parameters: str = "") -> Iterator[Engine]:
    engine = connect(f"{proxy.url}{parameters}", statement_seconds=seconds)
    try:
        yield engine
    finally:
        proxy.heal()
        engine.dispose()


def test_a_statement_ends_though_the_server_is_silent(proxy: Proxy) -> None:
    with engine_through(proxy, 1) as engine:
        with engine.connect() as connection:
            proxy.freeze()
            # Nothing but the bound ends this: the proxy holds every byte until it is healed.
            with pytest.raises(SQLAlchemyError) as caught:
                connection.execute(ASK)
        assert trouble(caught.value) is Trouble.LOST
        proxy.heal()
        with engine.connect() as connection:
            assert connection.scalar(ASK) == 1


def test_a_statement_under_way_ends_when_the_process_is_to_stop(proxy: Proxy) -> None:
    with engine_through(proxy, 86_400) as engine, engine.connect() as connection:
        proxy.freeze()
        hasten(engine)
        with pytest.raises(SQLAlchemyError) as caught:
            connection.execute(ASK)
    assert trouble(caught.value) is Trouble.LOST


def test_what_the_url_says_of_statements_bounds_the_silence(proxy: Proxy) -> None:
    options = "?options=-c%20statement_timeout%3D500ms"
    with engine_through(proxy, 86_400, options) as engine, engine.connect() as connection:
        proxy.freeze()
        with pytest.raises(SQLAlchemyError) as caught:
            connection.execute(ASK)
    assert trouble(caught.value) is Trouble.LOST


def test_a_server_that_speaks_in_time_is_heard_however_long_it_all_takes(proxy: Proxy) -> None:
    with engine_through(proxy, 1) as engine, engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT repeat('x', 100000) FROM generate_series(1, 100)")
        assert len(rows.all()) == 100
