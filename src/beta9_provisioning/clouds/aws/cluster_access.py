"""Access of the worker to an EKS cluster's Kubernetes API: endpoint, authority, bearer token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.token import signed_token
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token

if TYPE_CHECKING:
    from types_boto3_eks import EKSClient
    from types_boto3_eks.type_defs import ClusterTypeDef
    from types_boto3_sts import STSClient


def find(session: AwsSession, cluster_name: str) -> ClusterTypeDef | None:
    """Return what EKS says of a cluster, or None when there is none.

    Raises:
        ClientError: AWS refused.
    """
    eks: EKSClient = session.client("eks")
    try:
        return eks.describe_cluster(name=cluster_name)["cluster"]
    except eks.exceptions.ResourceNotFoundException:
        return None


def describe(session: AwsSession, cluster_name: str, role_arn: str) -> ClusterAccess:
    """Look the cluster up and return how to reach it as a role.

    Raises:
        AwsError: `cluster_not_ready` while it has no endpoint yet; `cluster_missing` when it does not exist;
            `cluster_access_missing` when it does not let the role in; or another failure of AWS.
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
    _check_entry(eks, session, cluster_name, role_arn)
    return ClusterAccess(
        cluster_name,
        endpoint,
        authority,
        lambda: sign_token(session, cluster_name),
        network_id=cluster.get("resourcesVpcConfig", {}).get("vpcId", ""),
    )


def _check_entry(eks: EKSClient, session: AwsSession, cluster_name: str, role_arn: str) -> None:
    """Without an entry the cluster answers 401, as it also does for a while when there is a new one."""
    with session.explained(f"look for the access entry of {role_arn} in the EKS cluster {cluster_name}"):
        try:
            eks.describe_access_entry(clusterName=cluster_name, principalArn=role_arn)
        except eks.exceptions.ResourceNotFoundException as error:
            raise AwsError(
                f"The EKS cluster {cluster_name} does not let {role_arn} in.",
                detail=str(error),
                remedy="Provision the environment again: Terraform makes the access entry anew.",
                code="cluster_access_missing",
            ) from error


def sign_token(session: AwsSession, cluster_name: str) -> Token:
    """Return a new token of the session's role for the cluster; nothing but the role is asked.

    Raises:
        AwsError: the role could not be assumed.
    """
    sts: STSClient = session.client("sts")
    with session.explained(f"sign a token for the EKS cluster {cluster_name}"):
        found = session.credentials().get_frozen_credentials()
    assert found.access_key is not None
    assert found.secret_key is not None
    return signed_token(
        Credentials(found.access_key, found.secret_key, found.token),
        endpoint=sts.meta.endpoint_url,
        region=session.region,
        cluster=cluster_name,
        at=datetime.now(UTC),
    )
