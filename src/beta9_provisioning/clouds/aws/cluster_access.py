"""Access of the worker to an EKS cluster's Kubernetes API: endpoint, authority, bearer token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws import rules
from beta9_provisioning.clouds.aws.names import ADMIN_POLICY
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.token import signed_token
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token

if TYPE_CHECKING:
    from types_boto3_eks import EKSClient
    from types_boto3_eks.type_defs import ClusterTypeDef
    from types_boto3_sts import STSClient

# Authentication modes: "Change authentication mode to use access entries" in the EKS user guide.
_WITH_ENTRIES = frozenset({"API", "API_AND_CONFIG_MAP"})


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


def describe(
    session: AwsSession, cluster_name: str, role_arn: str, *, is_given: bool = False
) -> ClusterAccess:
    """Look the cluster up and return how to reach it as a role; one that `is_given` is the user's own.

    Raises:
        AwsError: `cluster_not_ready` while it has no endpoint yet; `cluster_missing` when it does not exist;
            `cluster_access_missing` when it does not let the role in; or another failure of AWS.
    """
    with session.explained(f"describe the EKS cluster {cluster_name}"):
        cluster = find(session, cluster_name)
    if cluster is None:
        raise AwsError(
            f"The EKS cluster {cluster_name} does not exist in {session.region}.",
            remedy="If it was deleted by hand, destroy the environment and create it anew.",
            code="cluster_missing",
        )
    if not is_reachable(cluster):
        raise AwsError(
            f"The EKS cluster {cluster_name} has no endpoint yet.",
            detail=f"Its status is {cluster.get('status')}.",
            remedy="Try again when its status is ACTIVE.",
            code="cluster_not_ready",
        )
    shut = f"The EKS cluster {cluster_name} does not let {role_arn} in."
    if is_given and (lacks := lacking(session, cluster, role_arn)):
        remedy = "Let it in, as the detail says."
        raise AwsError(shut, detail=lacks, remedy=remedy, code="cluster_access_missing")
    if not is_given and not _has_entry(session, cluster, role_arn):
        remedy = "Provision the environment again: Terraform makes the access entry anew."
        raise AwsError(shut, remedy=remedy, code="cluster_access_missing")
    return access_of(session, cluster)


def is_reachable(cluster: ClusterTypeDef) -> bool:
    """Return whether a cluster has all by which its API is reached."""
    return bool(cluster.get("endpoint") and cluster.get("certificateAuthority", {}).get("data"))


def access_of(session: AwsSession, cluster: ClusterTypeDef) -> ClusterAccess:
    """Return how to reach a cluster, which is reachable, as the session's role."""
    name = cluster["name"]
    return ClusterAccess(
        name,
        cluster["endpoint"],
        cluster["certificateAuthority"]["data"],
        lambda: sign_token(session, name),
        network_id=cluster.get("resourcesVpcConfig", {}).get("vpcId", ""),
    )


def lacking(session: AwsSession, cluster: ClusterTypeDef, role_arn: str) -> str:
    """Return what a cluster of the user's lacks to let a role administrate it; empty when it lacks nothing.

    It names the commands that change this.

    Raises:
        AwsError: AWS failed, or the role may not look.
    """
    name = cluster["name"]
    where = f"--region {session.region} --cluster-name {name} --principal-arn {role_arn}"
    policy = f"arn:{rules.partition_of(session.region)}:eks::aws:{ADMIN_POLICY}"
    create = f"aws eks create-access-entry {where}"
    associate = f"aws eks associate-access-policy {where} --policy-arn {policy} --access-scope type=cluster"
    if cluster.get("accessConfig", {}).get("authenticationMode") not in _WITH_ENTRIES:
        switch = (
            f"aws eks update-cluster-config --region {session.region} --name {name} "
            "--access-config authenticationMode=API_AND_CONFIG_MAP"
        )
        return _commands(f"{name}: it has no access entries; give it some", switch, create, associate)
    if not _has_entry(session, cluster, role_arn):
        return _commands(f"{name}: it has no access entry for {role_arn}; make it", create, associate)
    eks: EKSClient = session.client("eks")
    pages = eks.get_paginator("list_associated_access_policies").paginate(
        clusterName=name, principalArn=role_arn
    )
    with session.explained(f"look for the access policies of {role_arn} in the EKS cluster {name}"):
        held = {
            one.get("policyArn")
            for page in pages
            for one in page["associatedAccessPolicies"]
            if one.get("accessScope", {}).get("type") == "cluster"
        }
    if policy not in held:
        return _commands(f"{name}: {role_arn} does not administrate it; let it", associate)
    return ""


def _commands(what: str, *commands: str) -> str:
    return "\n  ".join((f"{what}:", *commands))


def _has_entry(session: AwsSession, cluster: ClusterTypeDef, role_arn: str) -> bool:
    """Without an entry the cluster answers 401, as it also does for a while when there is a new one."""
    name = cluster["name"]
    eks: EKSClient = session.client("eks")
    with session.explained(f"look for the access entry of {role_arn} in the EKS cluster {name}"):
        try:
            eks.describe_access_entry(clusterName=name, principalArn=role_arn)
        except eks.exceptions.ResourceNotFoundException:
            return False
    return True


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
