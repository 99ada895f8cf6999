"""Questions about the log: what they find, and that none of them reads more than it answers."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session
from tests.audit.attacks import fill

from beta9_provisioning.audit.search import Wanted, newest_first
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.operations.records.model import AuditRecordRow

RECORDS = 30_000
# Pages of 8 KiB. Reading all of 30,000 records, or the whole of one index of them, takes more.
MOST_PAGES = 120
MANY = text(
    """INSERT INTO audit_records
        (organization_id, actor, actor_name, action, object_type, object_id, decision, reason, request_id)
    SELECT 'default', 'mem_' || number % 7, 'Anna', CASE number WHEN 9 THEN 'rare' ELSE 'frequent' END,
        'environment', 'env_' || number % 500, CASE number % 10 WHEN 0 THEN 'refused' ELSE 'allowed' END,
        CASE number % 10 WHEN 0 THEN 'forbidden' END, 'req-' || number
    FROM generate_series(1, :records) AS number"""
)


def numbers(sessions: Sessions, *, limit: int = 100, before: int | None = None, **wanted: Any) -> list[int]:
    with sessions() as session:
        rows = newest_first(session, "default", Wanted(**wanted), limit=limit, before=before)
        return [row.number for row in rows]


def at(sessions: Sessions, number: int) -> datetime:
    with sessions() as session:
        return session.get_one(AuditRecordRow, ("default", number)).at


def test_the_newest_come_first_and_pages_go_on(sessions: Sessions) -> None:
    fill(sessions, 5)
    fill(sessions, 2, "org_other")
    assert numbers(sessions) == [5, 4, 3, 2, 1]
    assert numbers(sessions, limit=2) == [5, 4]
    assert numbers(sessions, limit=2, before=4) == [3, 2]
    assert numbers(sessions, before=1) == []


def test_each_filter_counts(sessions: Sessions) -> None:
    fill(sessions, 5)
    assert numbers(sessions, object_id="env_2") == [2]
    assert numbers(sessions, request_id="req-3") == [3]
    assert numbers(sessions, decision="refused") == [5, 3, 1]
    assert numbers(sessions, decision="refused", object_id="env_3") == [3]
    assert numbers(sessions, actor="mem_1", action="environment.update") == [5, 4, 3, 2, 1]
    assert numbers(sessions, actor="mem_2") == numbers(sessions, action="environment.create") == []


def test_both_ends_of_a_time_are_in_it(sessions: Sessions) -> None:
    fill(sessions, 5)
    second, fourth = at(sessions, 2), at(sessions, 4)
    assert numbers(sessions, since=second, until=fourth) == [4, 3, 2]
    assert numbers(sessions, since=fourth) == [5, 4]
    moment = timedelta(microseconds=1)
    assert numbers(sessions, since=second + moment, until=fourth - moment) == [3]
    assert (
        numbers(sessions, since=at(sessions, 5) + moment)
        == numbers(sessions, until=at(sessions, 1) - moment)
        == []
    )


@pytest.fixture
def many(engine: Engine, sessions: Sessions) -> Iterator[list[int]]:
    """Many records; counts the pages that each question reads."""
    with engine.begin() as connection:
        connection.execute(MANY, {"records": RECORDS})
        connection.execute(text("ANALYZE audit_records"))
    pages: list[int] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(
        connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> None:
        if statement.startswith("SELECT"):
            raw = connection.connection.cursor()
            raw.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            plan = raw.fetchone()[0][0]["Plan"]
            pages.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    yield pages
    event.remove(engine, "before_cursor_execute", explain)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 51),
        ({"actor": "mem_3"}, 51),
        ({"actor": "nobody"}, 0),
        ({"action": "rare"}, 1),
        ({"action": "frequent", "actor": "mem_3"}, 51),
        ({"object_id": "env_7"}, 51),
        ({"decision": "allowed"}, 51),
        ({"decision": "refused"}, 51),
        ({"request_id": "req-77"}, 1),
        ({"action": "rare", "decision": "refused"}, 0),
    ],
    ids=str,
)
def test_a_question_reads_little(
    sessions: Sessions, many: list[int], wanted: dict[str, Any], found: int
) -> None:
    assert len(numbers(sessions, limit=51, **wanted)) == found
    assert 0 < many[-1] <= MOST_PAGES


def test_times_and_places_read_little(sessions: Sessions, many: list[int]) -> None:
    early, middle = at(sessions, 500), at(sessions, RECORDS // 2)
    assert len(numbers(sessions, limit=51, until=early)) == 51
    assert len(numbers(sessions, limit=51, since=middle, action="frequent")) == 51
    assert len(numbers(sessions, limit=51, before=500)) == 51
    assert 0 < max(many) <= MOST_PAGES


def test_the_bound_is_one_that_reading_everything_exceeds(
    engine: Engine, sessions: Sessions, many: list[int]
) -> None:
    with Session(engine) as session:
        session.scalars(select(AuditRecordRow).where(AuditRecordRow.key_id == "none")).all()
    assert many[-1] > MOST_PAGES
