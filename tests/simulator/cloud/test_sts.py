"""Assuming roles, beyond what the API door's tests show."""

import pytest

from beta9_simulator.cloud.principals import Principal, authenticate, find_principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.seeding import Seeded, seed
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store
from beta9_simulator.cloud.sts import assume_role


@pytest.fixture
def user(store: Store, seeded: Seeded) -> Principal:
    found = find_principal(store, seeded.access_key)
    assert found is not None
    return found


def test_a_session_is_known_and_ends(store: Store, seeded: Seeded, user: Principal) -> None:
    session = assume_role(store, user, seeded.role_arn, "s1", external_id=seeded.external_id, seconds=900)
    assert authenticate(store, session.access_key, session.session_token) == session
    assert session.identity == seeded.role_arn
    store.execute("update credentials set expires_at=1 where access_key=?", session.access_key)
    with pytest.raises(CloudError, match="ExpiredToken"):
        authenticate(store, session.access_key, session.session_token)


def test_a_chained_role_lasts_an_hour_at_most(store: Store, user: Principal) -> None:
    first = seed(store, account="222222222222", role="First")
    session = assume_role(store, user, first.role_arn, "s1", external_id=first.external_id)
    state = {
        "arn": "arn:aws:iam::333333333333:role/Second",
        "max_session_duration": 43200,
        "assume_role_policy": '{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",'
        f' "Principal": {{"AWS": "{first.role_arn}"}}}}}}',
    }
    store.create(NewObject("333333333333", GLOBAL, "aws_iam_role", "Second", "Second", state))
    with pytest.raises(CloudError, match="role chaining"):
        assume_role(store, session, state["arn"], "s2", seconds=3601)  # type: ignore[arg-type]
    assert assume_role(store, session, state["arn"], "s2").account == "333333333333"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arn", "session", "seconds", "message"),
    [
        ("arn:aws:iam::123456789012:user/x", "s1", 3600, "is invalid"),
        ("arn:aws:iam::123456789012:role/Beta9Provisioner", "a b", 3600, "session name"),
        ("arn:aws:iam::123456789012:role/Beta9Provisioner", "s1", 899, "between 900 and 43200"),
        ("arn:aws:iam::123456789012:role/path/Beta9Provisioner", "s1", 3600, "AccessDenied"),
    ],
)
def test_bad_requests_are_refused(
    store: Store, seeded: Seeded, user: Principal, *, arn: str, session: str, seconds: int, message: str
) -> None:
    with pytest.raises(CloudError, match=message):
        assume_role(store, user, arn, session, external_id=seeded.external_id, seconds=seconds)


def test_seeding_again_keeps_the_control_plane_s_key(store: Store, seeded: Seeded) -> None:
    other = seed(store, account="222222222222", external_id="chosen")
    assert (other.access_key, other.secret_key) == (seeded.access_key, seeded.secret_key)
    assert (other.external_id, other.role_arn) == (
        "chosen",
        "arn:aws:iam::222222222222:role/Beta9Provisioner",
    )
    assert len(store.find("aws_iam_role")) == 2
