"""Access to an EKS cluster's Kubernetes API without the AWS CLI: endpoint, authority, bearer token.

The token is a presigned STS request, as aws-iam-authenticator defines it: EKS sends the request to STS to
learn who signed it, and accepts a token for 15 minutes after it was signed.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.signers import RequestSigner
from ruamel.yaml import YAML

from beta9_provisioning.clouds.aws.session import AwsError, AwsSession

if TYPE_CHECKING:
    from types_boto3_eks import EKSClient
    from types_boto3_sts import STSClient

TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105  a format's name, not a secret
# One minute less than EKS allows, for clocks that differ; the AWS CLI does the same.
TOKEN_MINUTES = 14
# What the presigned URL asks for. EKS ignores it, but refuses more than 15 minutes; this is the AWS CLI's.
URL_SECONDS = 60
EXEC_API = "client.authentication.k8s.io/v1"


@dataclass(frozen=True)
class Token:
    """A bearer token of a cluster and the time (UTC) until which it may be used."""

    value: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Token(value=<secret>, expires_at={self.expires_at!r})"


@dataclass(frozen=True)
class ClusterAccess:
    """How to reach a cluster's Kubernetes API.

    Attributes:
        name: the cluster's name.
        endpoint: URL of the API.
        certificate_authority: the API's authority, PEM in base64 as kubeconfig wants it.
        token: makes a new token.
    """

    name: str
    endpoint: str
    certificate_authority: str
    token: Callable[[], Token]

    def kubeconfig(self) -> str:
        """Return a kubeconfig (JSON, which is YAML too) with a new token. It is a secret for 15 minutes."""
        user: dict[str, object] = {"token": self.token().value}
        return json.dumps(_kubeconfig(self.name, self.endpoint, self.certificate_authority, user))


def describe(session: AwsSession, cluster_name: str) -> ClusterAccess:
    """Look the cluster up and return how to reach it.

    Raises:
        AwsError: `cluster_not_ready` while it has no endpoint yet; `cluster_missing` when it does not exist;
            or another failure of AWS.
    """
    eks: EKSClient = session.client("eks")
    with session.explained(f"describe the EKS cluster {cluster_name}"):
        try:
            cluster = eks.describe_cluster(name=cluster_name)["cluster"]
        except eks.exceptions.ResourceNotFoundException as error:
            raise AwsError(
                f"The EKS cluster {cluster_name} does not exist in {session.region}.",
                detail=str(error),
                remedy="If it was deleted by hand, destroy the environment and create it anew.",
                code="cluster_missing",
            ) from error
    endpoint = cluster.get("endpoint")
    authority = cluster.get("certificateAuthority", {}).get("data")
    if not endpoint or not authority:
        raise AwsError(
            f"The EKS cluster {cluster_name} has no endpoint yet.",
            detail=f"Its status is {cluster.get('status')}.",
            remedy="Try again when its status is ACTIVE.",
            code="cluster_not_ready",
        )
    return ClusterAccess(cluster_name, endpoint, authority, lambda: sign_token(session, cluster_name))


def sign_token(session: AwsSession, cluster_name: str) -> Token:
    """Return a new token of the session's role for the cluster; nothing but the role is asked.

    Raises:
        AwsError: the role could not be assumed.
    """
    sts: STSClient = session.client("sts")
    with session.explained(f"sign a token for the EKS cluster {cluster_name}"):
        signer = RequestSigner(
            sts.meta.service_model.service_id,
            session.region,
            "sts",
            "v4",
            session.credentials(),
            sts.meta.events,
        )
        expires_at = datetime.now(UTC) + timedelta(minutes=TOKEN_MINUTES)
        url = signer.generate_presigned_url(
            {
                "method": "GET",
                "url": f"{sts.meta.endpoint_url}/?Action=GetCallerIdentity&Version=2011-06-15",
                "body": {},
                "headers": {"x-k8s-aws-id": cluster_name},
                "context": {},
            },
            operation_name="GetCallerIdentity",
            expires_in=URL_SECONDS,
        )
    encoded = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return Token(TOKEN_PREFIX + encoded, expires_at)


def exec_credential(token: Token) -> dict[str, object]:
    """Return the ExecCredential document with which a kubeconfig's exec plugin answers kubectl."""
    return {
        "apiVersion": EXEC_API,
        "kind": "ExecCredential",
        "spec": {},
        "status": {
            "expirationTimestamp": token.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "token": token.value,
        },
    }


def user_kubeconfig(
    *,
    cluster_name: str,
    endpoint: str,
    certificate_authority: str,
    region: str,
    role_arn: str,
    external_id: str | None = None,
) -> str:
    """Return a kubeconfig (YAML) for people: it holds no secret, and asks this program for a token when used.

    `certificate_authority` is PEM in base64. Leave `external_id` out to make the user add it.
    """
    arguments = ["token", "--cluster", cluster_name, "--region", region, "--role-arn", role_arn]
    if external_id is not None:
        arguments += ["--external-id", external_id]
    user: dict[str, object] = {
        "exec": {
            "apiVersion": EXEC_API,
            "command": "beta9-provisioning",
            "args": arguments,
            "interactiveMode": "Never",
            "provideClusterInfo": False,
            "installHint": "Install beta9-provisioning and put it on PATH, with AWS credentials at hand.",
        }
    }
    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.width = 4096  # a folded line would break a certificate
    yaml.dump(_kubeconfig(cluster_name, endpoint, certificate_authority, user), text)
    return text.getvalue()


def _kubeconfig(
    name: str, endpoint: str, certificate_authority: str, user: dict[str, object]
) -> dict[str, object]:
    cluster = {"server": endpoint, "certificate-authority-data": certificate_authority}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
