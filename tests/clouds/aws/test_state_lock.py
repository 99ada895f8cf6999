"""The state's lock in the simulated S3, beside the one of genuine Terraform."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.clouds.aws.test_stack_in_terraform import terraform

from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.stack.bare import backend_body
from beta9_provisioning.clouds.cloud import StateLock

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer

OURS = StateLock(
    id="2f1f4c1e-5df0-4d6f-9f5e-6a3c8a4b0c11",
    who="beta9-provisioning@worker-1",
    operation="provision",
    info="operation op_1, attempt 1, of env_1",
)


@pytest.fixture
def account(customer: Customer) -> AwsAccount:
    account = AwsAccount(customer.target)
    account.ensure_state_backend()
    return account


def stored(account: AwsAccount, **new: Any) -> dict[str, Any]:
    """Return the lock as it is stored, after it was replaced if `new` says so."""
    place = {"Bucket": account._bucket.name, "Key": account._lock._key}
    client = account._session.client("s3")
    if new:
        client.put_object(**place, Body=json.dumps(new).encode())
    document: dict[str, Any] = json.loads(client.get_object(**place)["Body"].read())
    return document


def holder(account: AwsAccount) -> str:
    held = account.lock_state(StateLock(id="nobody"))
    if held is None:
        account.unlock_state("nobody")
    return held.id if held else "free"


class ByHand:
    """Somebody's Terraform on the environment's state, with a resource that waits for a file."""

    def __init__(self, directory: Path, account: AwsAccount) -> None:
        self.directory = directory
        self.go = directory / "go"
        self.started = directory / "started"
        wait = f"touch {self.started}; while [ ! -e {self.go} ]; do sleep 0.05; done"
        resource = {"terraform_data": {"one": {"provisioner": [{"local-exec": {"command": wait}}]}}}
        backend = {"s3": backend_body(**account.ensure_state_backend().arguments)}
        document = {"terraform": {"backend": backend}, "resource": resource}
        (directory / "main.tf.json").write_text(json.dumps(document))
        (directory / "terraformrc").touch()
        self.run("init", "-input=false")

    def run(self, *arguments: str) -> str:
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        rc = {"HOME": str(self.directory), "TF_CLI_CONFIG_FILE": str(self.directory / "terraformrc")}
        return terraform(self.directory, aws | rc, *arguments)


@pytest.fixture
def by_hand(tmp_path: Path, account: AwsAccount) -> Iterator[ByHand]:
    by_hand = ByHand(tmp_path, account)
    yield by_hand
    by_hand.go.touch()


def test_our_lock_has_the_form_of_terraforms(account: AwsAccount, by_hand: ByHand) -> None:
    with ThreadPoolExecutor(1) as pool:
        applying = pool.submit(by_hand.run, "apply", "-auto-approve", "-input=false")
        try:
            while not by_hand.started.exists():
                assert not applying.done(), applying.result()
                threading.Event().wait(0.05)
            theirs = stored(account)
            held = account.lock_state(OURS)
        finally:
            by_hand.go.touch()
        applying.result()
    assert held is not None
    assert (held.id, held.who, held.operation) == (theirs["ID"], theirs["Who"], "OperationTypeApply")
    assert account.lock_state(OURS) is None
    ours = stored(account)
    assert list(ours) == list(theirs)
    assert {name: type(value) for name, value in ours.items()} == {
        name: type(value) for name, value in theirs.items()
    }
    assert ours["Path"] == theirs["Path"]
    assert ours["Created"][10] == theirs["Created"][10] == "T"
    assert ours["Created"][-1] == theirs["Created"][-1] == "Z"


def test_a_terraform_by_hand_is_told_who_holds_the_state(account: AwsAccount, by_hand: ByHand) -> None:
    assert account.lock_state(OURS) is None
    by_hand.go.touch()
    with pytest.raises(AssertionError) as caught:
        by_hand.run("apply", "-auto-approve", "-input=false")
    printed = str(caught.value)
    assert "Error acquiring the state lock" in printed
    for told in (OURS.id, OURS.who, OURS.operation, OURS.info):
        assert told in printed
    account.unlock_state(OURS.id)
    by_hand.run("apply", "-auto-approve", "-input=false")


def test_of_many_workers_only_one_holds_the_state(account: AwsAccount) -> None:
    locks = [StateLock(id=f"attempt-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(account.lock_state, locks))
    winners = [lock.id for lock, held in zip(locks, answers, strict=True) if held is None]
    assert winners == [holder(account)]


def test_locking_twice_is_locking_once(account: AwsAccount) -> None:
    assert account.lock_state(OURS) is None
    assert account.lock_state(OURS) is None


def test_only_its_own_lock_is_removed(account: AwsAccount) -> None:
    assert account.lock_state(OURS) is None
    account.unlock_state("somebody-elses")
    assert holder(account) == OURS.id
    account.unlock_state(OURS.id)
    account.unlock_state(OURS.id)
    assert holder(account) == "free"


def test_a_lock_that_changes_hands_at_that_moment_stays(account: AwsAccount) -> None:
    """Somebody else locks between our look and our delete: the delete is conditional."""
    assert account.lock_state(OURS) is None
    changed: list[str] = []

    def change(**_: Any) -> None:
        if not changed:
            changed.append(stored(account, ID="somebody-elses", Who="alice@laptop")["ID"])

    account._session.client("s3").meta.events.register("before-call.s3.DeleteObject", change)
    account.unlock_state(OURS.id)
    assert changed
    assert holder(account) == "somebody-elses"


@pytest.mark.parametrize("body", [b"\xff no json", b"[" * 30_000, b'{"ID": "' + b"x" * 100_000 + b'"}'])
def test_a_lock_that_cannot_be_read_is_somebodys(account: AwsAccount, body: bytes) -> None:
    client = account._session.client("s3")
    client.put_object(Bucket=account._bucket.name, Key=account._lock._key, Body=body)
    held = account.lock_state(OURS)
    assert held is not None
    assert held.id
    assert held.place.startswith("s3://")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (None, False),
        ('{"version": 4, "resources": []}', False),
        ('{"version": 4, "resources": [{"type": "aws_vpc"}]}', True),
        ("no json", True),
        ("{}", True),
        pytest.param("[" * 200_000, True, id="deep"),
        pytest.param(f'{{"resources": [], "x": "{"x" * (17 << 20)}"}}', True, id="endless"),
    ],
)
def test_only_a_state_that_is_surely_empty_counts_as_none(
    account: AwsAccount, text: str | None, holds: bool
) -> None:
    if text is not None:
        backend = account.ensure_state_backend().arguments
        client = account._session.client("s3")
        client.put_object(Bucket=backend["bucket"], Key=backend["key"], Body=text.encode())
    assert account.has_state() is holds
