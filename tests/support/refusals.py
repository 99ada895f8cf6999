"""A genuine database that refuses something for good, as it does when the data or the program is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from beta9_provisioning.kit.database import Sessions, transaction


@contextmanager
def refusing(factory: Sessions, table: str, allowed: str) -> Iterator[None]:
    """Have new rows of a table refused meanwhile, unless a condition holds."""
    with _changed(
        factory,
        f"ALTER TABLE {table} ADD CONSTRAINT refusing CHECK ({allowed}) NOT VALID",
        f"ALTER TABLE {table} DROP CONSTRAINT refusing",
    ):
        yield


@contextmanager
def without_column(factory: Sessions, table: str, column: str) -> Iterator[None]:
    """Have all statements that use a column refused meanwhile."""
    with _changed(
        factory,
        f"ALTER TABLE {table} RENAME COLUMN {column} TO elsewhere",
        f"ALTER TABLE {table} RENAME COLUMN elsewhere TO {column}",
    ):
        yield


@contextmanager
def _changed(factory: Sessions, change: str, back: str) -> Iterator[None]:
    with transaction(factory) as session:
        session.execute(text(change))
    try:
        yield
    finally:
        with transaction(factory) as session:
            session.execute(text(back))
