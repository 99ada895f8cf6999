"""The recorder on genuine PostgreSQL: batches, order, a database that goes away, a lease that is lost."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, update
from tests.operations.rows import events, make_environment, operation, take
from tests.support.proxy import Proxy
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.operations.records.model import AttemptRow
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop, StopReason


@pytest.fixture
def claim(sessions: Sessions) -> Claim:
    return take(sessions, make_environment(sessions).operation_id)


def told(sessions: Sessions, claim: Claim) -> list[int]:
    """The numbers that the test's events carry, in the journal's order."""
    return [data["n"] for _, type_, data in events(sessions, claim.environment_id) if type_ == "test"]


def test_events_are_written_soon_and_in_order(sessions: Sessions, claim: Claim) -> None:
    with Recorder(sessions, claim, Stop()) as recorder:
        for number in range(1200):
            recorder.emit("test", "Happened.", n=number)
        until(lambda: len(told(sessions, claim)) == 1200, "everything is written")
    assert told(sessions, claim) == list(range(1200))


def test_the_last_progress_is_written(sessions: Sessions, claim: Claim) -> None:
    with Recorder(sessions, claim, Stop()) as recorder:
        for done in range(5):
            recorder.progress("Creating", done=done, total=9)
        recorder.flush()
    assert operation(sessions, claim.operation_id).progress == {"step": "Creating", "done": 4, "total": 9}


def test_what_happens_while_the_database_is_away_is_written_when_it_is_back(
    sessions: Sessions, claim: Claim, proxy: Proxy, distant: Engine
) -> None:
    stop = Stop()
    with Recorder(session_factory(distant), claim, stop) as recorder:
        recorder.emit("test", "Happened.", n=0)
        until(lambda: told(sessions, claim) == [0], "the first event is written")
        proxy.cut()
        recorder.emit("test", "Happened.", n=1)
        until(lambda: proxy.refused > 0, "the recorder has tried in vain")
        recorder.emit("test", "Happened.", n=2)
        assert told(sessions, claim) == [0]
        proxy.heal()
        until(lambda: told(sessions, claim) == [0, 1, 2], "the others are written")
    assert stop.reason is None


def test_a_lost_lease_stops_the_operation(sessions: Sessions, claim: Claim) -> None:
    stop = Stop()
    with Recorder(sessions, claim, stop) as recorder:
        with transaction(sessions) as session:
            session.execute(
                update(AttemptRow)
                .where(AttemptRow.lease_token == claim.lease_token)
                .values(ended_at=datetime.now(UTC))
            )
        recorder.emit("test", "Came too late.", n=1)
        assert stop.event.wait(GUARD_SECONDS), "the loss was not noticed"
    assert stop.reason is StopReason.LEASE_LOST
    assert told(sessions, claim) == []
