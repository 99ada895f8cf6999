"""When an attempt is proven over, so that its lock may be taken."""

from datetime import timedelta

import pytest
from sqlalchemy import create_engine, func, update
from sqlalchemy.exc import ProgrammingError
from tests.operations.rows import make_environment, take
from tests.support.refusals import without_column

from beta9_provisioning.kit import database
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import AttemptRow
from beta9_provisioning.operations.records.proof import Fate, fate_of


@pytest.mark.parametrize(
    ("ended", "expired", "known"),
    [
        (False, False, Fate.UNKNOWN),
        (False, True, Fate.UNKNOWN),
        (True, False, Fate.ENDING),
        (True, True, Fate.OVER),
    ],
)
def test_an_attempt_is_over_when_it_has_ended_and_its_lease_too(
    sessions: Sessions, ended: bool, expired: bool, known: Fate
) -> None:
    claim = take(sessions, make_environment(sessions).operation_id)
    with transaction(sessions) as session:
        values = {
            "ended_at": func.clock_timestamp() if ended else None,
            "lease_expires_at": func.clock_timestamp() + timedelta(seconds=-1 if expired else 60),
        }
        session.execute(update(AttemptRow).values(**values))
    assert fate_of(sessions, str(claim.lease_token)) is known


@pytest.mark.parametrize("token", ["", "alice", "5b2c7f5e-0000-4000-8000-000000000001"])
def test_what_is_no_attempt_of_ours_is_never_over(sessions: Sessions, token: str) -> None:
    assert fate_of(sessions, token) is Fate.UNKNOWN


def test_nothing_is_proven_by_a_database_that_is_away() -> None:
    away = create_engine("postgresql+psycopg://u@127.0.0.1:1/d", connect_args={"connect_timeout": 2})
    assert fate_of(database.sessions(away), "5b2c7f5e-0000-4000-8000-000000000001") is Fate.UNKNOWN


def test_a_question_that_the_database_refuses_is_a_fault_and_no_delay(sessions: Sessions) -> None:
    token = str(take(sessions, make_environment(sessions).operation_id).lease_token)
    with without_column(sessions, "attempts", "lease_expires_at"), pytest.raises(ProgrammingError):
        fate_of(sessions, token)
