"""Access to an EKS cluster's Kubernetes API without the AWS CLI: endpoint, authority, bearer token.

The token is a presigned STS request, as aws-iam-authenticator defines it: EKS sends the request to STS to
learn who signed it, and accepts a token for 15 minutes after it was signed.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.signers import RequestSigner

from beta9_provisioning.clouds.aws.session import AwsError, AwsSession
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token

if TYPE_CHECKING:
    from types_boto3_eks import EKSClient
    from types_boto3_sts import STSClient

TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105  a format's name, not a secret
# One minute less than EKS allows, for clocks that differ; the AWS CLI does the same.
TOKEN_MINUTES = 14
# What the presigned URL asks for. EKS ignores it, but refuses more than 15 minutes; this is the AWS CLI's.
URL_SECONDS = 60


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
