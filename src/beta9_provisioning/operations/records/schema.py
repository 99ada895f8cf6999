"""Whether this program and the database's schema fit together (ADR 8).

A program works on the revision that it knows as the newest, and on every later one that says so: the table
`schema_compatibility` names the oldest program, by its newest revision, that still works. A program that
does not know that revision is older than it.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, func, select
from sqlalchemy.orm import Session

from beta9_provisioning.kit.database import check_session
from beta9_provisioning.operations.records.model import Base

VERSIONS = Path(__file__).parent / "migrations" / "versions"
"""Directory of this program's migrations: each file is named by its revision, which is a number."""

# No table of the application: it has a MetaData of its own, and a single row.
BOOKKEEPING = MetaData(naming_convention=Base.metadata.naming_convention)
"""What migrations keep about themselves, beside Alembic's own table."""
_COMPATIBILITY = Table("schema_compatibility", BOOKKEEPING, Column("oldest_program", Text, primary_key=True))
_ALEMBIC = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))


@dataclass(frozen=True)
class Misfit:
    """Why this program cannot work with the schema, and what to do.

    Attributes:
        code: `schema_missing`, `schema_older` or `schema_newer` (than this program).
    """

    code: str
    message: str


@lru_cache(maxsize=1)
def _known() -> tuple[str, frozenset[str]]:
    """Return this program's newest revision, and all that it knows."""
    # Alembic would tell the same. To load it takes an API or a worker a tenth of its start.
    known = frozenset(file.name.partition("_")[0] for file in VERSIONS.glob("[0-9]*.py"))
    return max(known), known


def head() -> str:
    """Return the newest revision that this program knows."""
    return _known()[0]


def current(connection: Connection | Session) -> str | None:
    """Return the database's revision, or None when it has no schema."""
    if connection.scalar(select(func.to_regclass(_ALEMBIC.name))) is None:
        return None
    return connection.scalar(select(_ALEMBIC.c.version_num))


def misfit(connection: Connection | Session) -> Misfit | None:
    """Return why this program cannot work with the database's schema; None when it can."""
    found = current(connection)
    if found is None:
        return Misfit("schema_missing", "The database has no schema yet: run `beta9-provisioning db init`.")
    return judge(found, None if found in _known()[1] else oldest_program(connection))


def judge(found: str, oldest: str | None) -> Misfit | None:
    """Return why this program cannot work with a schema; None when it can.

    Args:
        found: the schema's revision.
        oldest: what `schema_compatibility` says in it, which counts if this program does not know `found`.
    """
    newest, known = _known()
    if found == newest:
        return None
    if found in known:
        return Misfit(
            "schema_older",
            f"The database's schema is at revision {found}, but this program needs {newest}: "
            "run `beta9-provisioning db init`.",
        )
    if oldest in known:
        return None
    return Misfit(
        "schema_newer",
        f"The database's schema is at revision {found}, which programs older than revision {oldest} cannot "
        f"use, and this one knows {newest} as the newest: replace it by a newer release.",
    )


def inspect(engine: Engine) -> Misfit | None:
    """See at the start that the database works and keeps sessions; then the same.

    Raises:
        DatabaseUnavailable: it does not.
        SQLAlchemyError: it has a fault.
    """
    check_session(engine)
    with engine.connect() as connection:
        return misfit(connection)


def oldest_program(connection: Connection | Session) -> str | None:
    """Return the newest revision that the oldest program knows which works with the schema, if it says so."""
    if connection.scalar(select(func.to_regclass(_COMPATIBILITY.name))) is None:
        return None
    return connection.scalar(select(_COMPATIBILITY.c.oldest_program))
