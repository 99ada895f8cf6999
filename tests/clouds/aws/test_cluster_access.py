"""Access to a cluster: tokens that the simulated EKS checks as EKS does, and kubeconfigs."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ruamel.yaml import YAML

from beta9_provisioning.clouds.aws.cluster_access import describe, sign_token
from beta9_provisioning.clouds.aws.kubeconfig import user_kubeconfig
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.token import TOKEN_PREFIX
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token, exec_credential

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer

ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"
REACHED = {"name": "c", "endpoint": "https://c.example.com", "certificateAuthority": {"data": "Q0E="}}
TOKEN = Token("k8s-aws-v1.secret", datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))


def session(customer: Customer, **changes: Any) -> AwsSession:
    target = replace(customer.target, **changes)
    return AwsSession(
        region=target.region,
        role_arn=target.role_arn,
        external_id=target.external_id,
        session_name="test",
    )


def answering(customer: Customer, **answers: dict[str, Any]) -> AwsSession:
    """A session whose EKS answers that, by the names of operations."""
    own = session(customer)
    events = own.client("eks").meta.events
    for operation, answer in answers.items():
        events.register(
            f"after-call.eks.{operation}", lambda parsed, answer=answer, **_: parsed.update(answer)
        )
        events.register(
            f"before-call.eks.{operation}", lambda **_: (type("Answer", (), {"status_code": 200})(), {})
        )
    return own


def test_a_token_is_a_presigned_request_that_names_the_cluster(customer: Customer) -> None:
    token = sign_token(session(customer), "my-cluster")

    assert token.value.startswith(TOKEN_PREFIX)
    encoded = token.value.removeprefix(TOKEN_PREFIX)
    assert "=" not in encoded
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert f"{url.scheme}://{url.netloc}" == customer.api.url
    assert query["Action"] == "GetCallerIdentity"
    assert query["X-Amz-Expires"] == "60"
    assert query["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert "us-east-1/sts/aws4_request" in query["X-Amz-Credential"]
    assert query["X-Amz-Security-Token"]  # the role's, not the worker's own
    assert timedelta(minutes=13) < token.expires_at - datetime.now(UTC) <= timedelta(minutes=14)


def test_a_token_for_a_role_that_is_refused(customer: Customer) -> None:
    with pytest.raises(AwsError) as caught:
        sign_token(session(customer, external_id="wrong"), "my-cluster")
    assert caught.value.code == "role_refused"


def test_a_token_is_not_shown() -> None:
    assert "secret-part" not in repr(Token("k8s-aws-v1.secret-part", datetime.now(UTC)))


def test_an_absent_cluster(customer: Customer) -> None:
    with pytest.raises(AwsError, match="my-cluster does not exist in us-east-1") as caught:
        describe(session(customer), "my-cluster", ROLE)
    assert caught.value.code == "cluster_missing"


def test_a_cluster_without_an_endpoint(customer: Customer) -> None:
    own = answering(customer, DescribeCluster={"cluster": {"name": "c", "status": "CREATING"}})
    with pytest.raises(AwsError) as caught:
        describe(own, "c", ROLE)
    assert caught.value.code == "cluster_not_ready"
    assert "CREATING" in caught.value.detail


def test_a_cluster_with_an_endpoint(customer: Customer) -> None:
    own = answering(customer, DescribeCluster={"cluster": REACHED}, DescribeAccessEntry={"accessEntry": {}})
    found = describe(own, "c", ROLE)
    assert (found.name, found.endpoint, found.certificate_authority) == (
        "c",
        "https://c.example.com",
        "Q0E=",
    )
    assert found.token().value.startswith(TOKEN_PREFIX)


def test_a_cluster_that_does_not_let_the_role_in(customer: Customer) -> None:
    with pytest.raises(AwsError, match=f"c does not let {ROLE} in") as caught:
        describe(answering(customer, DescribeCluster={"cluster": REACHED}), "c", ROLE)
    assert caught.value.code == "cluster_access_missing"


def test_each_kubeconfig_has_a_new_token() -> None:
    tokens = iter(["one", "two"])
    access = ClusterAccess(
        "c", "https://c.example.com", "Q0E=", lambda: Token(next(tokens), datetime.now(UTC))
    )
    first, second = json.loads(access.kubeconfig()), json.loads(access.kubeconfig())
    assert first["users"] == [{"name": "c", "user": {"token": "one"}}]
    assert second["users"] == [{"name": "c", "user": {"token": "two"}}]
    assert first["clusters"][0]["cluster"] == {
        "server": "https://c.example.com",
        "certificate-authority-data": "Q0E=",
    }
    assert first["current-context"] == "c"


@pytest.mark.parametrize("external_id", ["b9-1", None])
def test_people_get_a_kubeconfig_without_secrets(external_id: str | None) -> None:
    authority = "Q" * 2000
    text = user_kubeconfig(
        cluster_name="c",
        endpoint="https://c.example.com",
        certificate_authority=authority,
        region="eu-west-1",
        role_arn="arn:aws:iam::123456789012:role/Beta9Provisioner",
        external_id=external_id,
    )
    document = YAML(typ="safe").load(text)
    assert document["clusters"][0]["cluster"]["certificate-authority-data"] == authority
    plugin = document["users"][0]["user"].pop("exec")
    assert document["users"][0]["user"] == {}
    assert plugin["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plugin["command"] == "beta9-provisioning"
    assert plugin["interactiveMode"] == "Never"
    expected = ["token", "--cluster", "c", "--region", "eu-west-1"]
    expected += ["--role-arn", "arn:aws:iam::123456789012:role/Beta9Provisioner"]
    assert plugin["args"] == expected + (["--external-id", "b9-1"] if external_id else [])


def test_the_exec_credential() -> None:
    assert exec_credential(TOKEN) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": {},
        "status": {"expirationTimestamp": "2026-01-02T03:04:05Z", "token": "k8s-aws-v1.secret"},
    }
