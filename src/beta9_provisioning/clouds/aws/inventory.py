"""What of an environment is still there: the question that decides whether a destroy is finished.

Every kind is looked up directly (`inventory_kinds`): by tag in EC2, by the environment's stem in names
elsewhere, since the tagging API lists for hours what is deleted and does not yet list what is new. It counts
for kinds that nobody looks for, and for keys, whose ids say nothing: those it names are then looked up.
What the cluster's controllers made (load balancers, volumes) carries their tags instead of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws import cluster_access
from beta9_provisioning.clouds.aws.buckets import buckets_of
from beta9_provisioning.clouds.aws.inventory_kinds import EC2, GONE, KIND_OF, NAMED, PARTS, NamedKind
from beta9_provisioning.clouds.aws.names import Names, names
from beta9_provisioning.clouds.aws.of_cluster import BALANCER_TAG, Made
from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.clouds.aws.sweep import Wanted, load_balancers, made_by
from beta9_provisioning.clouds.cloud import Leftover
from beta9_provisioning.engine.beta9.platform import SharedCluster
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient
    from types_boto3_resourcegroupstaggingapi import ResourceGroupsTaggingAPIClient

_PENDING = "PendingDeletion"


def leftovers(session: AwsSession, environment_id: str, given: SharedCluster | None = None) -> list[Leftover]:
    """Return what AWS still shows of the environment, sorted by kind and id; the state bucket is not of it.

    Raises:
        AwsError: AWS failed, or the role may not look.
    """
    own = names(environment_id)
    with session.explained("look for what is left of the environment"):
        tagged = set(tagged_resources(session, environment_id))
        found = {
            *_in_ec2(session, environment_id),
            *_named(session, own),
            *_cluster(session, own.cluster),
            *_balancers(session, made_by(environment_id, given)),
            *(_volumes(session, Made(given, environment_id)) if given else ()),
            *_providers(session, environment_id),
            *_keys(session, tagged),
            *(Leftover("s3:bucket", name) for name in buckets_of(session, environment_id)),
            *(Leftover(kind, id_) for kind, id_ in tagged if kind not in _LOOKED_FOR),
        }
        return sorted(_with_blockers(session, found), key=lambda item: (item.kind, item.id))


def kept(session: AwsSession, environment_id: str) -> list[Leftover]:
    """Return what stays for a reason, which `status` says: snapshots, and keys that AWS deletes days later.

    Raises:
        AwsError: AWS failed, or the role may not look.
    """
    own = names(environment_id)
    with session.explained("look for what stays of the environment"):
        # Those of a database that is gone cannot be asked for by its name; automated ones go with it.
        pages = session.client("rds").get_paginator("describe_db_snapshots").paginate(SnapshotType="manual")
        snapshots = [
            Leftover("rds:snapshot", entry["DBSnapshotIdentifier"], f"{entry['SnapshotType']} snapshot")
            for page in pages
            for entry in page["DBSnapshots"]
            if entry["DBInstanceIdentifier"] == own.database
        ]
        keys = [
            Leftover("kms:key", id_, f"deleted on {entry['DeletionDate']:%Y-%m-%d}")
            for id_, entry in _described_keys(session, tagged_resources(session, environment_id))
            if entry["KeyState"] == _PENDING
        ]
        return [*snapshots, *keys]


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


def tagged_resources(session: AwsSession, environment_id: str) -> Iterator[tuple[str, str]]:
    """Yield kind and id of what the tagging API lists with the environment's tag, or its cluster's."""
    tagging: ResourceGroupsTaggingAPIClient = session.client("resourcegroupstaggingapi")
    cluster = f"kubernetes.io/cluster/{names(environment_id).cluster}"
    for key, values in ((ENVIRONMENT_ID_TAG, [environment_id]), (cluster, [])):
        pages = tagging.get_paginator("get_resources").paginate(TagFilters=[{"Key": key, "Values": values}])
        for page in pages:
            for entry in page["ResourceTagMappingList"]:
                yield parse_arn(entry["ResourceARN"])


def _in_ec2(session: AwsSession, environment_id: str) -> Iterator[Leftover]:
    cluster = names(environment_id).cluster
    wanted = [
        {"Name": f"tag:{ENVIRONMENT_ID_TAG}", "Values": [environment_id]},
        {"Name": "tag-key", "Values": [f"kubernetes.io/cluster/{cluster}"]},
        {"Name": f"tag:{BALANCER_TAG}", "Values": [cluster]},
        {"Name": "tag:cluster.k8s.amazonaws.com/name", "Values": [cluster]},
    ]
    for kind, known in EC2.items():
        for one in wanted[: 4 if known.by_controllers else 2]:
            for id_, entry in ec2_entries(session, kind, one):
                state = entry.get(known.state, "") if known.state else ""
                status = str(state.get("Name", "") if isinstance(state, dict) else state)
                if status not in GONE:
                    holder = entry.get("AssociationId")  # of an address in use
                    yield Leftover(kind, id_, status, (f"association {holder}",) if holder else ())


def ec2_entries(
    session: AwsSession, kind: str, *wanted: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield id and entry of all of a kind that EC2 describes for filters."""
    ec2 = session.client("ec2")
    known = EC2[kind]
    request = {"Filters": list(wanted)}
    paginate = ec2.can_paginate(known.operation)
    pages = (
        ec2.get_paginator(known.operation).paginate(**request)
        if paginate
        else [getattr(ec2, known.operation)(**request)]
    )
    for page in pages:
        for entry in page[known.list]:
            for one in entry["Instances"] if kind == "ec2:instance" else [entry]:
                yield one[known.id], one


def _named(session: AwsSession, own: Names) -> Iterator[Leftover]:
    """Yield what has one of the environment's names, or of most kinds one that begins with its stem.

    Others name roles, secrets and log groups of theirs after a cluster, too.
    """
    exact = {
        "iam:role": own.roles,
        "kms:alias": {f"alias/{own.cluster}"},
        "logs:log-group": own.log_groups,
        "secretsmanager:secret": {own.redis},
    }
    for kind, known in NAMED.items():
        for id_, status in listed(session, known, own.stem):
            mine = id_ in exact[kind] if kind in exact else id_.startswith(own.stem)
            if mine and status not in GONE:
                yield Leftover(kind, id_, status)


def listed(session: AwsSession, known: NamedKind, stem: str) -> Iterator[tuple[str, str]]:
    """Yield name and state of all of a kind."""
    pages = session.client(known.service).get_paginator(known.operation).paginate(**known.arguments(stem))
    try:
        for page in pages:
            for entry in page[known.list]:
                yield entry[known.id], str(entry.get(known.state, "")) if known.state else ""
    except ClientError as error:
        # An account that never used the service has none.
        if error_code(error) != "ServiceLinkedRoleNotFoundFault":
            raise


def _cluster(session: AwsSession, name: str) -> Iterator[Leftover]:
    if found := cluster_access.find(session, name):
        yield Leftover("eks:cluster", name, found.get("status", ""))


def _balancers(session: AwsSession, is_wanted: Wanted) -> Iterator[Leftover]:
    for kind, id_ in load_balancers(session, is_wanted):
        named = id_.rpartition(f"{kind}/")[2]
        yield Leftover(f"elasticloadbalancing:{'loadbalancer' if kind == 'classic' else kind}", named)


def _volumes(session: AwsSession, made: Made) -> Iterator[Leftover]:
    for id_, entry in ec2_entries(session, "ec2:volume", *made.volumes):
        if made.has_volume(entry):
            yield Leftover("ec2:volume", id_, str(entry.get("State", "")))


def _providers(session: AwsSession, environment_id: str) -> Iterator[Leftover]:
    for arn in openid_providers(session, environment_id):
        yield Leftover("iam:oidc-provider", parse_arn(arn)[1])


def openid_providers(session: AwsSession, environment_id: str) -> Iterator[str]:
    """Yield ARNs of OpenID Connect providers with the environment's tag; they name the clusters' issuers."""
    iam: IAMClient = session.client("iam")
    for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        arn = provider.get("Arn", "")
        try:
            tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
        except ClientError as error:
            if error_code(error) != "NoSuchEntity":
                raise
            continue
        if {"Key": ENVIRONMENT_ID_TAG, "Value": environment_id} in tags:
            yield arn


def _keys(session: AwsSession, tagged: Iterable[tuple[str, str]]) -> Iterator[Leftover]:
    for id_, entry in _described_keys(session, tagged):
        if entry["KeyState"] != _PENDING:
            yield Leftover("kms:key", id_, entry["KeyState"])


def _described_keys(
    session: AwsSession, tagged: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    kms = session.client("kms")
    for id_ in sorted({id_ for kind, id_ in tagged if kind == "kms:key"}):
        try:
            yield id_, kms.describe_key(KeyId=id_)["KeyMetadata"]
        except ClientError as error:
            if error_code(error) != "NotFoundException":
                raise


def _with_blockers(session: AwsSession, found: set[Leftover]) -> Iterator[Leftover]:
    """Yield the leftovers; those of a network with the interfaces in use that hold them.

    In a network of the user's only security groups are an environment's.
    """
    vpcs = [item.id for item in found if item.kind == "ec2:vpc"]
    groups_left = [item.id for item in found if item.kind == "ec2:security-group"]
    holders: dict[str, list[str]] = {}
    if vpcs or groups_left:
        wanted = {"Name": "vpc-id", "Values": vpcs} if vpcs else {"Name": "group-id", "Values": groups_left}
        for id_, entry in ec2_entries(session, "ec2:network-interface", wanted):
            words = f"network interface {id_} ({entry.get('Description') or 'no description'})"
            groups = [group["GroupId"] for group in entry.get("Groups", ())]
            for held in (entry.get("VpcId", ""), entry.get("SubnetId", ""), *groups):
                holders.setdefault(held, []).append(words)
    for item in found:
        yield replace(item, blocked_by=(*item.blocked_by, *sorted(holders.get(item.id, ()))))


_LOOKED_FOR = frozenset({*KIND_OF.values(), *EC2, *NAMED, *PARTS})
