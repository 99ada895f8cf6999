"""Changes of the schema that hold up nobody; PostgreSQL makes them outside a transaction only.

A migration that uses these does nothing else: it may be cut off in the middle, and is then repeated whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.sql.elements import TextClause


def create_index(
    name: str,
    table: str,
    columns: Sequence[str | TextClause],
    *,
    unique: bool = False,
    where: str | None = None,
    using: str = "btree",
) -> None:
    """Build an index while the table is read and written, in place of one whose build was cut off.

    Args:
        name: of the index.
        table: on which it is.
        columns: their names, or expressions.
        unique: whether it allows a value once only; the build fails when there are duplicates.
        where: condition of the rows that are in it.
        using: kind of the index.
    """
    with _outside_a_transaction() as connection:
        valid = connection.scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
        )
        if valid is False:
            op.drop_index(name, postgresql_concurrently=True, if_exists=True)
        if not valid:
            op.create_index(
                name,
                table,
                list(columns),
                unique=unique,
                postgresql_using=using,
                postgresql_where=None if where is None else text(where),
                postgresql_concurrently=True,
            )


@contextmanager
def _outside_a_transaction() -> Iterator[Connection]:
    """Commit after every statement, and wait long for others: nobody waits behind us."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        config = op.get_context().config
        assert config is not None
        before = connection.scalar(text("SHOW lock_timeout"))
        _set_lock_timeout(connection, f"{config.attributes['online_seconds']}s")
        yield connection
        _set_lock_timeout(connection, str(before))


def _set_lock_timeout(connection: Connection, value: str) -> None:
    connection.execute(text("SELECT set_config('lock_timeout', :value, false)"), {"value": value})
