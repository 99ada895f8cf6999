"""Leases on genuine PostgreSQL: silence, proven death."""

from datetime import timedelta

import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session
from tests.operations.rows import make_environment, operation, take
from tests.support.waiting import until

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records import leases
from beta9_provisioning.operations.records.model import AttemptRow
from beta9_provisioning.operations.records.store import Claim, request_cancel


def silence(sessions: Sessions, claim: Claim, *, seconds: float, lease_left: float) -> None:
    """Make it look as if the worker had fallen silent that long ago."""
    with transaction(sessions) as session:
        session.execute(
            update(AttemptRow)
            .where(AttemptRow.lease_token == claim.lease_token)
            .values(
                heartbeat_at=func.clock_timestamp() - timedelta(seconds=seconds),
                lease_expires_at=func.clock_timestamp() + timedelta(seconds=lease_left),
            )
        )


def is_abandoned(session: Session, claim: Claim) -> bool:
    return (claim.lease_token, claim.environment_id) in leases.abandoned(session)


def test_a_renewed_lease_is_not_abandoned(sessions: Sessions) -> None:
    claim = take(sessions, make_environment(sessions).operation_id, lease=0)
    with transaction(sessions) as session:
        assert is_abandoned(session, claim)
        assert [row.lease_token for row in leases.renew(session, [claim.lease_token], 3600)] == [
            claim.lease_token
        ]
        assert not is_abandoned(session, claim)


def test_renewal_brings_the_cancel_request(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    with transaction(sessions) as session:
        request_cancel(session, session.merge(operation(sessions, made.operation_id)))
    with transaction(sessions) as session:
        assert leases.renew(session, [claim.lease_token], 3600) == [leases.Renewed(claim.lease_token, True)]


def test_an_expired_lease_is_taken_and_renewed_no_more(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    silence(sessions, claim, seconds=60, lease_left=-1)
    with transaction(sessions) as session:
        assert leases.take_from_lost_worker(session, claim.lease_token, made.environment_id)
    with transaction(sessions) as session:
        assert leases.renew(session, [claim.lease_token], 3600) == []


def test_a_process_is_dead_when_its_liveness_lock_is_free(sessions: Sessions) -> None:
    key = 2**61 + 12345
    claim = take(sessions, make_environment(sessions).operation_id, liveness_key=key)
    silence(sessions, claim, seconds=leases.PROVEN_DEATH_SECONDS + 1, lease_left=3600)
    with sessions() as alive:
        assert leases.hold_liveness(alive, key)
        with transaction(sessions) as session:
            assert not is_abandoned(session, claim)
        alive.connection().invalidate()  # the connection breaks, as it does when the process dies

    def is_dead() -> bool:
        with transaction(sessions) as session:
            return is_abandoned(session, claim)

    until(is_dead, "the server has noticed")


def test_a_free_liveness_lock_alone_proves_nothing(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "PROVEN_DEATH_SECONDS", 3600.0)  # the database's clock does not stand still
    claim = take(sessions, make_environment(sessions).operation_id, liveness_key=77)
    silence(sessions, claim, seconds=3000, lease_left=3600)
    with transaction(sessions) as session:
        assert not is_abandoned(session, claim)


def test_a_renewal_in_the_last_moment_wins(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    silence(sessions, claim, seconds=60, lease_left=-1)
    with transaction(sessions) as session:
        leases.renew(session, [claim.lease_token], 3600)
    with transaction(sessions) as session:
        assert not leases.take_from_lost_worker(session, claim.lease_token, made.environment_id)
    assert operation(sessions, made.operation_id).status == "planning"


@pytest.mark.parametrize("key", [1, 2**31, 2**32 + 1, 2**62 - 1])
def test_liveness_keys_of_every_size_are_found(sessions: Sessions, key: int) -> None:
    claim = take(sessions, make_environment(sessions).operation_id, liveness_key=key)
    silence(sessions, claim, seconds=leases.PROVEN_DEATH_SECONDS + 1, lease_left=3600)
    with sessions() as alive:
        assert leases.hold_liveness(alive, key)
        with transaction(sessions) as session:
            assert not is_abandoned(session, claim)
        alive.connection().invalidate()
