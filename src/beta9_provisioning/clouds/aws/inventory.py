"""What of an environment is still there: the question that decides whether a destroy is finished.

The tagging API knows every kind of resource, but lags: it still lists what is deleted, and does not yet list
what is new. Kinds that cost money or block others are therefore looked up directly, by tag (EC2) or by
their deterministic name; for these the direct answer alone counts. What the cluster's controllers made
(load balancers, volumes) carries Kubernetes' tag `kubernetes.io/cluster/<name>` instead of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.clouds.cloud import Leftover
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

if TYPE_CHECKING:
    from types_boto3_eks import EKSClient
    from types_boto3_iam import IAMClient
    from types_boto3_resourcegroupstaggingapi import ResourceGroupsTaggingAPIClient
    from types_boto3_s3 import S3Client

# Kind: operation, list in its answer, id in an entry, state in an entry (None: it has none).
_EC2: dict[str, tuple[str, str, str, str | None]] = {
    "ec2:vpc": ("describe_vpcs", "Vpcs", "VpcId", "State"),
    "ec2:subnet": ("describe_subnets", "Subnets", "SubnetId", "State"),
    "ec2:natgateway": ("describe_nat_gateways", "NatGateways", "NatGatewayId", "State"),
    "ec2:elastic-ip": ("describe_addresses", "Addresses", "AllocationId", None),
    "ec2:security-group": ("describe_security_groups", "SecurityGroups", "GroupId", None),
    "ec2:internet-gateway": ("describe_internet_gateways", "InternetGateways", "InternetGatewayId", None),
    "ec2:route-table": ("describe_route_tables", "RouteTables", "RouteTableId", None),
    "ec2:network-interface": (
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
        "Status",
    ),
    "ec2:volume": ("describe_volumes", "Volumes", "VolumeId", "State"),
}
_EC2_GONE = frozenset({"deleted"})
# Parts of a cluster, which end with it.
_EKS_PARTS = frozenset({"eks:nodegroup", "eks:addon", "eks:access-entry", "eks:podidentityassociation"})


def leftovers(session: AwsSession, environment_id: str) -> list[Leftover]:
    """Return what AWS still shows of the environment, sorted by kind and id; the state bucket is not of it.

    Raises:
        AwsError: AWS failed, or the role may not look.
    """
    cluster = names(environment_id).cluster
    tags = ((ENVIRONMENT_ID_TAG, environment_id), (f"kubernetes.io/cluster/{cluster}", None))
    with session.explained("look for what is left of the environment"):
        tagged = {found for key, value in tags for found in _tagged(session, key, value)}
        found = {*_direct(session, environment_id, tagged)}
        found.update(Leftover(kind, id_) for kind, id_ in tagged if kind not in _COVERED)
        if not any(item.kind == "eks:cluster" for item in found):
            found = {item for item in found if item.kind not in _EKS_PARTS}
        for key, value in tags:
            found.update(_in_ec2(session, key, value))
        return sorted(_with_blockers(session, found), key=lambda item: (item.kind, item.id))


def parse_arn(arn: str) -> tuple[str, str]:
    """Return kind (`ec2:subnet`) and id (`subnet-1`) that an ARN names.

    The id is what follows the type: `nodegroup/CLUSTER/NAME/UUID` gives `CLUSTER/NAME/UUID`.
    """
    service, resource = arn.split(":", 5)[2::3]
    if service == "s3":
        return "s3:bucket", resource
    slash, colon = resource.find("/"), resource.find(":")
    cut = min(index for index in (slash, colon, len(resource)) if index >= 0)
    return f"{service}:{resource[:cut]}", resource[cut + 1 :]


def _tagged(session: AwsSession, key: str, value: str | None) -> Iterator[tuple[str, str]]:
    """Yield kind and id of what the tagging API lists with a tag; None stands for any value."""
    tagging: ResourceGroupsTaggingAPIClient = session.client("resourcegroupstaggingapi")
    values = [value] if value is not None else []
    pages = tagging.get_paginator("get_resources").paginate(TagFilters=[{"Key": key, "Values": values}])
    for page in pages:
        for entry in page["ResourceTagMappingList"]:
            yield parse_arn(entry["ResourceARN"])


def _direct(
    session: AwsSession, environment_id: str, tagged: Iterable[tuple[str, str]]
) -> Iterator[Leftover]:
    """Yield what is found by name: the environment's own names, and those that the tagging API told."""
    own = names(environment_id)
    known = {
        "eks:cluster": {own.cluster},
        "rds:db": {own.database},
        "elasticache:replicationgroup": {own.redis},
        "iam:role": set(own.roles),
        "s3:bucket": set(_buckets(session, suffix=own.bucket(""))),
    }
    for kind, id_ in tagged:
        if kind in known:
            known[kind].add(id_)
    for kind, ids in known.items():
        for id_ in ids:
            look, absent = _BY_NAME[kind]
            try:
                yield Leftover(kind, id_, look(session, id_))
            except ClientError as error:
                if error_code(error) != absent:
                    raise


def _in_ec2(session: AwsSession, key: str, value: str | None) -> Iterator[Leftover]:
    wanted = {"Name": f"tag:{key}", "Values": [value]} if value else {"Name": "tag-key", "Values": [key]}
    for kind in _EC2:
        for id_, entry in _ec2_entries(session, kind, wanted):
            state = _EC2[kind][3]
            status = str(entry.get(state, "")) if state else ""
            if status not in _EC2_GONE:
                holder = entry.get("AssociationId")  # of an address in use
                yield Leftover(kind, id_, status, (f"association {holder}",) if holder else ())


def _ec2_entries(
    session: AwsSession, kind: str, wanted: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    ec2 = session.client("ec2")
    operation, list_name, id_name, _ = _EC2[kind]
    request = {"Filters": [wanted]}
    paginate = ec2.can_paginate(operation)
    pages = (
        ec2.get_paginator(operation).paginate(**request) if paginate else [getattr(ec2, operation)(**request)]
    )
    for page in pages:
        for entry in page[list_name]:
            yield entry[id_name], entry


def _with_blockers(session: AwsSession, found: set[Leftover]) -> Iterator[Leftover]:
    """Yield the leftovers; those of a VPC with the network interfaces in use that hold them."""
    vpcs = [item.id for item in found if item.kind == "ec2:vpc"]
    holders: dict[str, list[str]] = {}
    if vpcs:
        wanted = {"Name": "vpc-id", "Values": vpcs}
        for id_, entry in _ec2_entries(session, "ec2:network-interface", wanted):
            words = f"network interface {id_} ({entry.get('Description') or 'no description'})"
            groups = [group["GroupId"] for group in entry.get("Groups", ())]
            for held in (entry.get("VpcId", ""), entry.get("SubnetId", ""), *groups):
                holders.setdefault(held, []).append(words)
    for item in found:
        yield replace(item, blocked_by=(*item.blocked_by, *sorted(holders.get(item.id, ()))))


def _buckets(session: AwsSession, suffix: str) -> Iterator[str]:
    s3: S3Client = session.client("s3")
    for page in s3.get_paginator("list_buckets").paginate():
        yield from (name for bucket in page["Buckets"] if (name := bucket.get("Name", "")).endswith(suffix))


def _cluster(session: AwsSession, name: str) -> str:
    eks: EKSClient = session.client("eks")
    return eks.describe_cluster(name=name)["cluster"].get("status", "")


def _database(session: AwsSession, name: str) -> str:
    answer = session.client("rds").describe_db_instances(DBInstanceIdentifier=name)
    return str(answer["DBInstances"][0]["DBInstanceStatus"])


def _replication_group(session: AwsSession, name: str) -> str:
    answer = session.client("elasticache").describe_replication_groups(ReplicationGroupId=name)
    return str(answer["ReplicationGroups"][0]["Status"])


def _role(session: AwsSession, name: str) -> str:
    iam: IAMClient = session.client("iam")
    iam.get_role(RoleName=name.rsplit("/", 1)[-1])  # an ARN holds the role's path too
    return ""


def _bucket(session: AwsSession, name: str) -> str:
    s3: S3Client = session.client("s3")
    s3.head_bucket(Bucket=name)
    return ""


# Kind: how to read the status, and what AWS answers when there is none of that name.
_BY_NAME: dict[str, tuple[Callable[[AwsSession, str], str], str]] = {
    "eks:cluster": (_cluster, "ResourceNotFoundException"),
    "rds:db": (_database, "DBInstanceNotFound"),
    "elasticache:replicationgroup": (_replication_group, "ReplicationGroupNotFoundFault"),
    "iam:role": (_role, "NoSuchEntity"),
    "s3:bucket": (_bucket, "404"),
}
_COVERED = _EC2.keys() | _BY_NAME.keys()
