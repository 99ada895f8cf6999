"""The user's token: the same as botocore's, accepted by the simulated EKS, and made without any SDK."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import botocore.credentials
import pytest
from botocore.hooks import HierarchicalEmitter
from botocore.model import ServiceId
from botocore.signers import RequestSigner
from tests.support.fake_sts import FakeSts, gives

from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.sts import Sts
from beta9_provisioning.clouds.aws.user_token import TOKEN_PREFIX, signed_token, user_credential
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.local.cloud.api import AwsApi
from beta9_provisioning.local.cloud.clusters import StoreClusters
from beta9_provisioning.local.cloud.seeding import Seeded, seed
from beta9_provisioning.local.cloud.store import NewObject, Store

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"
CLUSTERS = ["c", "beta9-ef7b786n4ar6", "Under_score-9", "a  b/c+d=;&%?", "ü"]

_accounts = itertools.count(200000000001)


def url_in(token: str) -> str:
    encoded = token.removeprefix(TOKEN_PREFIX)
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


def parts_of(url: str) -> tuple[str, list[str]]:
    """The address, and the query's pairs as they are written; botocore's two signers differ in order."""
    address, _, query = url.partition("?")
    return address, sorted(query.split("&"))


def botocore_url(role: Credentials, sts: Sts, cluster: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The presigned URL as botocore makes it for `sign_token` of the worker."""
    # Where awscrt is installed, botocore signs with it too, and it would be compared with itself.
    monkeypatch.setitem(botocore.auth.AUTH_TYPE_MAPS, "v4-query", botocore.auth.SigV4QueryAuth)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT.replace(tzinfo=None))
    own = botocore.credentials.Credentials(role.access_key, role.secret_key, role.session_token)
    events = HierarchicalEmitter()  # the signer holds it by a weak reference
    signer = RequestSigner(ServiceId("STS"), sts.region, "sts", "v4", own, events)
    request = {
        "method": "GET",
        "url": f"{sts.endpoint}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(request, operation_name="GetCallerIdentity", expires_in=60)
    assert isinstance(url, str)
    return url


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("token", [None, "IQoJ/b3+JpZ2lu=="], ids=["keys", "session"])
@pytest.mark.parametrize(
    "sts",
    [
        Sts("us-east-1", "https://sts.us-east-1.amazonaws.com"),
        Sts("ap-southeast-4", "https://sts.ap-southeast-4.amazonaws.com"),
        Sts("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
        Sts("eu-west-1", "http://127.0.0.1:4566"),
        Sts("eu-west-1", "https://sts.example.com:8443/aws"),
        Sts("eu-west-1", "https://sts.example.com:443"),
    ],
    ids=lambda sts: sts.endpoint,
)
def test_the_url_is_botocores(
    sts: Sts, token: str | None, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = Credentials("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    ours = url_in(signed_token(role, sts, cluster, at=AT))
    assert parts_of(ours) == parts_of(botocore_url(role, sts, cluster, monkeypatch))


@pytest.fixture
def seeded(cloud: tuple[Store, AwsApi], monkeypatch: pytest.MonkeyPatch) -> Seeded:
    """A customer of the simulated AWS with a cluster `c`, and a user whom the customer's role trusts."""
    store, api = cloud
    seeded = seed(store, account=str(next(_accounts)))
    state = {"name": "c", "version": "1.34", "access_config": []}
    store.create(
        NewObject(seeded.account, "eu-west-1", "aws_eks_cluster", "c", "c", state, seeded.role_arn), 0
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seeded.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seeded.secret_key)
    return seeded


def user_of(document: dict[str, Any], store: Store, seeded: Seeded, name: str = "c") -> str | None:
    """Whom the token opens the cluster to, as EKS checks it."""
    clusters = StoreClusters(store)
    cluster = clusters.find(seeded.account, "eu-west-1", name)
    assert cluster is not None
    return clusters.authenticate(cluster, document["status"]["token"])


def credential(seeded: Seeded, **changes: Any) -> dict[str, Any]:
    asked = {"cluster": "c", "region": "eu-west-1", "role_arn": seeded.role_arn}
    return user_credential(**{**asked, "external_id": seeded.external_id, **changes})


def test_the_cluster_accepts_the_token(cloud: tuple[Store, AwsApi], seeded: Seeded) -> None:
    session = f"arn:aws:sts::{seeded.account}:assumed-role/Beta9Provisioner/beta9-provisioning-token"
    assert user_of(credential(seeded), cloud[0], seeded) == session
    assert user_of(credential(seeded, cluster="other"), cloud[0], seeded) is None


def test_the_document(fake: FakeSts, keys: None) -> None:
    fake.will(gives("ASIAROLE"))
    before = datetime.now(UTC).replace(microsecond=0)
    document: dict[str, Any] = user_credential(
        cluster="c", region="eu-west-1", role_arn=ROLE, external_id="e"
    )
    after = datetime.now(UTC)
    status = document.pop("status")
    assert document == {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {}}
    assert sorted(status) == ["expirationTimestamp", "token"]
    assert "=" not in status["token"].removeprefix(TOKEN_PREFIX)
    assert "X-Amz-Credential=ASIAROLE%2F" in url_in(status["token"])
    expires = datetime.strptime(status["expirationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert before <= expires - timedelta(minutes=14) <= after
    assert [asked.fields for asked in fake.asked] == [
        {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": ROLE,
            "RoleSessionName": "beta9-provisioning-token",
            "DurationSeconds": "3600",
            "ExternalId": "e",
        }
    ]


@pytest.mark.parametrize("external_id", ["wrong", None])
def test_a_role_that_refuses(seeded: Seeded, external_id: str | None) -> None:
    with pytest.raises(EngineError) as caught:
        credential(seeded, external_id=external_id)
    assert caught.value.code == "role_refused"
    assert seeded.role_arn in caught.value.message
    assert "AccessDenied" in caught.value.detail
    # The statement names the user, whom AWS was asked about.
    assert f'"AWS": "{seeded.user_arn}"' in caught.value.remedy
    assert ("sts:ExternalId" in caught.value.remedy) == (external_id is not None)


def test_credentials_that_aws_does_not_know(seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-this-one")
    with pytest.raises(EngineError) as caught:
        credential(seeded)
    assert caught.value.code == "credentials_invalid"


def test_the_import_is_cheap() -> None:
    code = (
        "import sys; import beta9_provisioning.clouds.aws.user_token\n"
        "print(sorted({'botocore', 'boto3', 'awscrt', '_awscrt'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_sdk_is_needed(cloud: tuple[Store, AwsApi], seeded: Seeded) -> None:
    """The whole way in a process that cannot import what a small install does not have."""
    code = (
        "import json, sys\n"
        "sys.modules.update(dict.fromkeys(['boto3', 'botocore', 's3transfer', 'cdktn', 'jsii']))\n"
        "from beta9_provisioning.clouds.aws.user_token import user_credential\n"
        "names = ['cluster', 'region', 'role_arn', 'external_id']\n"
        "print(json.dumps(user_credential(**dict(zip(names, sys.argv[1:])))))"
    )
    arguments = ["c", "eu-west-1", seeded.role_arn, seeded.external_id]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.stderr == ""
    assert user_of(json.loads(done.stdout), cloud[0], seeded)
