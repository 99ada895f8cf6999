"""Migrations since the previous release only add, and the schema says truthfully whom it suits (ADR 8)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripts.releases import Program
from sqlalchemy import text
from tests.support.servers import Addresses, create_database, drop_database
from tests.support.waiting import GUARD_SECONDS
from tests.upgrades.fleet import REFUSED, Fleet, migrate
from tests.upgrades.shapes import Shape, contractions

from beta9_provisioning.kit.database import connect
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.migrate import init_db

pytestmark = pytest.mark.timeout(600)
_MIGRATION = """
from alembic import op
revision = "later"
down_revision = {down!r}

def upgrade():
    op.execute({statement!r})
"""


def later(directory: Path, statement: str) -> list[Path]:
    """Return directories of migrations: ours, and one later migration of this statement."""
    directory.mkdir()
    (directory / "later.py").write_text(_MIGRATION.format(down=schema.head(), statement=statement))
    return [schema.VERSIONS, directory]


def shape_of(url: str) -> Shape:
    engine = connect(url)
    try:
        with engine.connect() as connection:
            return Shape.of(connection)
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def before(
    servers: Addresses, worker_id: str, previous: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shape]:
    """The schema that the previous release makes by itself."""
    name = f"{servers.template}_{worker_id}_previous"
    url = create_database(servers.postgres, name)
    migrate(previous, url, tmp_path_factory.mktemp("previous"))
    yield shape_of(url)
    drop_database(servers.postgres, name)


@pytest.fixture
def after(servers: Addresses, worker_id: str, tmp_path: Path) -> Iterator[Callable[[str], Shape]]:
    """Makes our schema, changed by a later migration of a statement."""
    name = f"{servers.template}_{worker_id}_later"
    url = create_database(servers.postgres, name, template=servers.template)

    def make(statement: str) -> Shape:
        init_db(url, versions=later(tmp_path / "later", statement))
        return shape_of(url)

    yield make
    drop_database(servers.postgres, name)


def test_the_previous_release_misses_nothing(before: Shape, database_url: str) -> None:
    assert {"environments", "operations", "attempts", "events", "statistics"} <= before.columns.keys()
    assert contractions(before, shape_of(database_url)) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DROP TABLE statistics", "table statistics is gone"),
        ("ALTER TABLE events RENAME TO journal", "table events is gone"),
        ("ALTER TABLE operations DROP progress", "column operations.progress is gone"),
        ("ALTER TABLE operations RENAME reason TO why", "column operations.reason is gone"),
        ("ALTER TABLE operations ALTER number TYPE bigint", "column operations.number is"),
        ("ALTER TABLE environments ALTER account_id SET NOT NULL", "column environments.account_id is"),
        ("ALTER TABLE operations ALTER kind DROP NOT NULL", "column operations.kind is"),
        ("ALTER TABLE operations ALTER attempts DROP DEFAULT", "column operations.attempts is"),
        ("ALTER TABLE operations ADD tried text NOT NULL", "column operations.tried is new and must"),
        ("ALTER TABLE operations DROP CONSTRAINT ck_operations_kind", "ck_operations_kind is gone"),
        ("DROP INDEX ix_environments_page", "ix_environments_page is gone"),
        ("DROP INDEX uq_attempts_live", "uq_attempts_live is gone"),
        ("CREATE UNIQUE INDEX one ON environments (owner)", "environments.one is new and may refuse"),
        ("ALTER TABLE events ADD CHECK (length(message) < 9)", "message_check is new and may refuse"),
        ("ALTER TABLE events ADD FOREIGN KEY (type) REFERENCES environments", "type_fkey is new and may"),
    ],
)
def test_a_migration_that_takes_away_is_found(
    before: Shape, after: Callable[[str], Shape], statement: str, told: str
) -> None:
    (found,) = contractions(before, after(statement))
    assert told in found


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE operations ADD request text",
        "ALTER TABLE operations ADD tries integer NOT NULL DEFAULT 0",
        "ALTER TABLE operations ADD tries integer CHECK (tries > 0)",
        "CREATE INDEX ix_operations_kind ON operations (kind)",
        "CREATE TABLE owners (id text PRIMARY KEY)",
    ],
)
def test_a_migration_that_adds_is_not(before: Shape, after: Callable[[str], Shape], statement: str) -> None:
    assert contractions(before, after(statement)) == []


def test_the_schema_names_no_program_as_too_old_that_works(previous: Program, database_url: str) -> None:
    versions = previous.source / schema.VERSIONS.relative_to(schema.VERSIONS.parents[4])
    known = {path.stem.split("_")[0] for path in versions.glob("0*.py")}
    engine = connect(database_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT oldest_program FROM schema_compatibility")) in known
    engine.dispose()


def test_a_schema_that_names_the_previous_release_as_too_old_is_left_to_newer_programs(
    fleet: Fleet, previous: Program, tmp_path: Path
) -> None:
    fleet.migrate(previous)
    with fleet.api(previous) as old:
        assert old.readiness() == (200, "")
        statement = (
            "UPDATE schema_compatibility SET oldest_program = 'later';"
            "ALTER TABLE operations RENAME COLUMN attempts TO tries"
        )
        init_db(fleet.database_url, versions=later(tmp_path / "later", statement))
        assert old.readiness() == (503, "schema_newer")
    with fleet.db_init(previous) as child:
        told, _ = child.communicate(timeout=GUARD_SECONDS)
    assert child.returncode == 1
    assert "replace it by a newer release" in told


def test_the_previous_release_does_fail_on_a_schema_that_only_claims_to_suit_it(
    fleet: Fleet, previous: Program, tmp_path: Path
) -> None:
    """So that what runs it on our schema proves something."""
    statement = "ALTER TABLE operations RENAME COLUMN requested_by TO requester"
    init_db(fleet.database_url, versions=later(tmp_path / "later", statement))
    with fleet.api(previous, may_fail=True) as old:
        assert old.readiness() == (200, "")
        with pytest.raises(AssertionError):
            old.make("refused", external_id=REFUSED)
