"""The policy on errors of a genuine PostgreSQL: what is lost, what is busy, what is a fault."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from tests.support.proxy import proxy_to

from beta9_provisioning.kit.database import connect
from beta9_provisioning.kit.database_errors import Trouble, describe, trouble

FAULTS = {
    "SELECT 1/0": Trouble.FAULT,
    "SELECT * FROM nowhere": Trouble.FAULT,
    "SELECT U&'\\0000'": Trouble.FAULT,
    "SELECT pg_terminate_backend(pg_backend_pid())": Trouble.LOST,
    "SET TRANSACTION READ ONLY; CREATE TABLE t ()": Trouble.LOST,
    "SET LOCAL statement_timeout = 1; SELECT pg_sleep(30)": Trouble.BUSY,
    "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$": Trouble.BUSY,
    "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53300'; END $$": Trouble.LOST,
}


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = connect(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize(("statement", "expected"), FAULTS.items(), ids=FAULTS)
def test_an_error_is_judged_by_its_sqlstate(
    connection: Connection, statement: str, expected: Trouble
) -> None:
    with pytest.raises(SQLAlchemyError) as caught:
        connection.exec_driver_sql(statement)
    assert trouble(caught.value) is expected


def test_a_row_that_somebody_has_locked_is_busy(connection: Connection, engine: Engine) -> None:
    lock = text("SELECT pg_advisory_xact_lock(4711)")
    connection.exec_driver_sql("SET LOCAL lock_timeout = 10")
    with engine.begin() as other:
        other.execute(lock)
        with pytest.raises(SQLAlchemyError) as caught:
            connection.execute(lock)
    assert trouble(caught.value) is Trouble.BUSY


def test_a_database_that_cannot_be_reached_is_lost(database_url: str) -> None:
    with proxy_to(database_url) as proxy:
        engine = connect(proxy.url)
        proxy.cut()
        with pytest.raises(SQLAlchemyError) as caught:
            engine.connect()
        engine.dispose()
    assert trouble(caught.value) is Trouble.LOST


def test_a_log_shows_neither_statement_nor_parameters_nor_rows(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TEMP TABLE t (word text CHECK (word <> 's3cr3t'))")
    with pytest.raises(SQLAlchemyError) as caught:
        connection.execute(text("INSERT INTO t VALUES (:word)"), {"word": "s3cr3t"})
    told = describe(caught.value)
    assert told.startswith("23514: ")
    assert "s3cr3t" not in told
    assert "INSERT" not in told
    assert "parameters: {'word'" not in str(caught.value)
