"""The user's token: accepted by the simulated EKS, and made by a command that loads no SDK."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.fake_sts import FakeSts, gives

from beta9_provisioning.clouds.aws.token import TOKEN_PREFIX
from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.schemas.configuration import Provider
from beta9_simulator.cloud.clusters import StoreClusters
from beta9_simulator.cloud.store import NewObject

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"


@pytest.fixture
def owner(customer: Customer) -> Customer:
    """A customer with a cluster `c`; the environment holds a user whom the customer's role trusts."""
    seeded = customer.seeded
    state = {"name": "c", "version": "1.34", "access_config": []}
    customer.store.create(
        NewObject(seeded.account, REGION, "aws_eks_cluster", "c", "c", state, seeded.role_arn), 0
    )
    return customer


def user_of(document: dict[str, Any], owner: Customer) -> str | None:
    """Whom the token opens the cluster to, as EKS checks it."""
    clusters = StoreClusters(owner.store)
    cluster = clusters.find(owner.seeded.account, REGION, "c")
    assert cluster is not None
    user = clusters.authenticate(cluster, document["status"]["token"])
    return None if user is None else user.name


def session_of(owner: Customer) -> str:
    return f"arn:aws:sts::{owner.seeded.account}:assumed-role/Beta9Provisioner/beta9-provisioning-token"


def credential(owner: Customer, **changes: Any) -> dict[str, Any]:
    asked = {"cluster": "c", "region": REGION, "principal": owner.seeded.role_arn}
    asked |= {"external_id": owner.seeded.external_id}
    return CLOUDS[Provider.AWS].user_credential(**{**asked, **changes})


def test_the_cluster_accepts_the_token(owner: Customer) -> None:
    assert user_of(credential(owner), owner) == session_of(owner)
    assert user_of(credential(owner, cluster="other"), owner) is None


def test_the_document(fake: FakeSts, keys: None) -> None:
    fake.will(gives("ASIAROLE"))
    before = datetime.now(UTC).replace(microsecond=0)
    document: dict[str, Any] = CLOUDS[Provider.AWS].user_credential(
        cluster="c", region=REGION, principal=ROLE, external_id="e"
    )
    after = datetime.now(UTC)
    status = document.pop("status")
    assert document == {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {}}
    assert sorted(status) == ["expirationTimestamp", "token"]
    encoded = status["token"].removeprefix(TOKEN_PREFIX)
    assert "=" not in encoded
    assert b"X-Amz-Credential=ASIAROLE%2F" in urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    expires = datetime.strptime(status["expirationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert before <= expires - timedelta(minutes=14) <= after
    assert [asked.fields for asked in fake.asked] == [
        {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": ROLE,
            "RoleSessionName": "beta9-provisioning-token",
            "ExternalId": "e",
        }
    ]


@pytest.mark.parametrize("external_id", ["wrong", None])
def test_a_role_that_refuses(owner: Customer, external_id: str | None) -> None:
    with pytest.raises(EngineError) as caught:
        credential(owner, external_id=external_id)
    assert caught.value.code == "role_refused"
    assert owner.seeded.role_arn in caught.value.message
    assert "AccessDenied" in caught.value.detail
    # The statement names the user, whom AWS was asked about.
    assert f'"AWS": "{owner.seeded.user_arn}"' in caught.value.remedy
    assert ("sts:ExternalId" in caught.value.remedy) == (external_id is not None)


def test_credentials_that_aws_does_not_know(owner: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-this-one")
    with pytest.raises(EngineError) as caught:
        credential(owner)
    assert caught.value.code == "credentials_invalid"


def test_the_command_loads_no_sdk(owner: Customer) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr))\n"
        "from beta9_provisioning.cli.main import main; main()"
    )
    options = {"cluster": "c", "region": REGION, "role-arn": owner.seeded.role_arn}
    options |= {"external-id": owner.seeded.external_id}
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-c", code, "token", *arguments], capture_output=True, text=True, check=False
    )
    loaded = set(done.stderr.split())
    assert "httpx" in loaded
    heavy = {"boto3", "botocore", "s3transfer", "cdktn", "constructs", "jsii", "sqlalchemy", "fastapi"}
    assert not heavy & loaded
    assert user_of(json.loads(done.stdout), owner) == session_of(owner)
