"""Hosts whose clocks differ from the database's: the times of all rows are the database's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, select, text
from tests.operations.rows import CONFIG

from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands
from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records import fairness, store
from beta9_provisioning.operations.records.journal import NewEvent
from beta9_provisioning.operations.records.model import AuditRecordRow, Base
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.schemas.environment import EnvironmentChanges
from beta9_provisioning.settings import Settings

S = OperationStatus
BEHIND = timedelta(hours=1)


@pytest.fixture
def late(engine: Engine, sessions: Sessions, database_url: str) -> Iterator[Sessions]:
    """Sessions with a database whose clock is one hour behind this host's."""
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA late"))
        for name in ("now", "clock_timestamp"):
            connection.execute(
                text(
                    f"CREATE FUNCTION late.{name}() RETURNS timestamptz LANGUAGE sql AS "
                    f"\"SELECT pg_catalog.{name}() - interval '1 hour'\"".replace('"', "$$")
                )
            )
    path = quote("-c search_path=late,pg_catalog,public", safe="")
    other = connect(f"{database_url}?options={path}")
    yield session_factory(other)
    other.dispose()
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA late CASCADE"))


def test_a_host_ten_minutes_ahead_hides_no_lost_hint_and_shifts_no_time(
    late: Sessions, sessions: Sessions, settings: Settings
) -> None:
    _live(late, settings)
    latest = datetime.now(UTC) - BEHIND + timedelta(minutes=5)
    found = list(_times(sessions))
    assert len(found) > 20
    assert [(name, at) for name, at in found if at > latest] == []


def test_an_operation_waits_by_the_clock_of_the_database(late: Sessions, settings: Settings) -> None:
    with transaction(late) as session:
        config = EnvironmentConfig.model_validate(CONFIG)
        commands.create(session, config, owner="default", by=Author("default"), settings=settings)
    with transaction(late) as session:
        (waiting,) = fairness.claimable(session)
    with transaction(late) as session:
        taken = store.claim(session, waiting, worker="w", liveness_key=1, lease_seconds=30)
    assert taken is not None
    assert 0 <= taken.waited < 600


def _live(late: Sessions, settings: Settings) -> None:
    """Do everything that writes a time."""
    config = EnvironmentConfig.model_validate(CONFIG)
    with transaction(late) as session:
        made = commands.create(
            session, config, owner="default", by=Author("default"), settings=settings, idempotency_key="k"
        )
    assert isinstance(made, commands.Outcome)
    assert made.operation_id is not None
    with transaction(late) as session:
        taken = store.claim(session, made.operation_id, worker="w", liveness_key=1, lease_seconds=30)
    assert taken is not None
    with transaction(late) as session:
        store.record(session, taken, [NewEvent("test", "Happened.")], None)
    with transaction(late) as session:
        changes = EnvironmentChanges(deletion_protection=True)
        commands.update(session, taken.environment_id, changes, owner="default", by=Author("default"))
        changes = EnvironmentChanges(deletion_protection=False)
        commands.update(session, taken.environment_id, changes, owner="default", by=Author("default"))
        commands.delete(session, taken.environment_id, owner="default", by=Author("default"))
    for before, after in ((S.PLANNING, S.APPLYING), (S.APPLYING, S.BOOTSTRAPPING)):
        with transaction(late) as session:
            store.advance(session, taken, before, after)
    with transaction(late) as session:
        store.succeed(session, taken, S.BOOTSTRAPPING, {})


def _times(sessions: Sessions) -> Iterator[tuple[str, datetime]]:
    with transaction(sessions) as session:
        # The audit log's trigger asks PostgreSQL's own clock, whatever a search path puts in its place.
        for table in set(Base.metadata.sorted_tables) - {AuditRecordRow.__table__}:
            for row in session.execute(select(table)).mappings():
                values: dict[str, Any] = dict(row)
                for name, value in values.items():
                    if isinstance(value, datetime) and name != "lease_expires_at":
                        yield f"{table.name}.{name}", value
