"""The migrations lead to the model."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from beta9_provisioning.kit.database import connect
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.migrate import alembic_config
from beta9_provisioning.operations.records.model import Base
from beta9_provisioning.operations.records.schema import BOOKKEEPING

CONSTRAINTS = """
    SELECT conrelid::regclass || ' ' || conname || ': ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
COLUMNS = """
    SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""


def definitions(connection: Connection) -> set[str]:
    """Return all that PostgreSQL knows of our tables, in its own words."""
    return {line for query in (CONSTRAINTS, INDEXES, COLUMNS) for line in connection.scalars(text(query))}


def test_each_file_is_named_by_its_revision_and_they_are_in_order() -> None:
    """What programs know without Alembic is what Alembic would do."""
    scripts = list(ScriptDirectory.from_config(alembic_config()).walk_revisions(head="heads"))
    revisions = [script.revision for script in reversed(scripts)]
    files = sorted(file.name for file in schema.VERSIONS.glob("*.py"))
    assert [name.partition("_")[0] for name in files] == revisions
    assert schema.head() == revisions[-1]
    assert all(schema.judge(one, None) is not None for one in revisions[:-1])


def test_the_migrations_make_the_tables_of_the_model(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, [Base.metadata, BOOKKEEPING]) == []  # type: ignore[arg-type]


def test_checks_and_conditions_of_indexes_are_those_of_the_model(
    engine: Engine, empty_database_url: str
) -> None:
    """What autogenerate does not see: our invariants."""
    modelled = connect(empty_database_url)
    Base.metadata.create_all(modelled)
    BOOKKEEPING.create_all(modelled)
    with engine.connect() as migrated, modelled.connect() as created:
        assert definitions(migrated) == definitions(created)
    modelled.dispose()
