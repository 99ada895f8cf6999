"""The migrations lead to the model."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from beta9_provisioning.operations.records.model import Base


def test_the_migrations_make_the_tables_of_the_model(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
