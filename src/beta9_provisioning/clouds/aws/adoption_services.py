"""Adoption of what has a name: the cluster with what hangs on it, stores, roles, keys and logs.

Names are a function of the environment's id, so that what has one is found by it, whether a state or a
journal knows it or not. What holds data is not what AWS says alone: what the journal says was once complete
may hold some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws import buckets, cluster_access, protection
from beta9_provisioning.clouds.aws.adoption_search import Body, Find, Found, Wanted
from beta9_provisioning.clouds.aws.inventory import openid_providers, tagged_resources
from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.clouds.stands import Condition
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

_CONDITIONS: Mapping[str, Condition] = {
    "creating": Condition.UNFINISHED,
    "pending": Condition.UNFINISHED,
    "updating": Condition.UNFINISHED,
    "modifying": Condition.UNFINISHED,
    "snapshotting": Condition.UNFINISHED,
    "deleting": Condition.LEAVING,
    "failed": Condition.FAILED,
    "create_failed": Condition.FAILED,
    "create-failed": Condition.FAILED,
    "delete_failed": Condition.FAILED,
}
"""By the words of EKS and ElastiCache, in lower case; what any other means is in use."""
# "Viewing Amazon RDS DB instance status" in the RDS user guide: every other word passes by itself.
_DATABASE_IN_USE = frozenset(
    {"available", "stopped", "stopping", "starting", "storage-full", "storage-optimization"}
)
_KEY_GONE = frozenset({"PendingDeletion", "PendingReplicaDeletion"})
_KEY_STATES = {"Creating": Condition.UNFINISHED, "Updating": Condition.UNFINISHED}


def _condition(word: str) -> Condition:
    return _CONDITIONS.get(word.lower(), Condition.READY)


def _named(kind: str, argument: str, *, holds_data: bool = False) -> Find:
    """Return how a kind is found that the inventory lists by name."""

    def find(wanted: Wanted) -> Found | None:
        name = str(wanted.body[argument])
        if name not in wanted.search.named(kind):
            return None
        word = wanted.search.named(kind)[name]
        return Found(
            name,
            condition=_condition(word),
            holds_data=holds_data and wanted.was_made,
            status=word,
        )

    return find


def _cluster(wanted: Wanted) -> Found | None:
    found = cluster_access.find(wanted.search.session, str(wanted.body["name"]))
    if found is None:
        return None
    word = found.get("status", "")
    lost = wanted.was_made
    return Found(str(wanted.body["name"]), condition=_condition(word), holds_data=lost, status=word)


def _in_cluster(ask: Callable[[Any, str, Body], str], part: str) -> Find:
    """Return how a part of a cluster is found; `ask` returns its status, `part` is what its id ends with."""

    def find(wanted: Wanted) -> Found | None:
        cluster = wanted.value("cluster_name")
        eks = wanted.search.session.client("eks")
        try:
            word = ask(eks, cluster, wanted.body)
        except eks.exceptions.ResourceNotFoundException:
            return None
        return Found(f"{cluster}:{wanted.body[part]}", condition=_condition(word), status=word)

    return find


def _node_group(eks: Any, cluster: str, body: Body) -> str:
    name = body["node_group_name"]
    return str(eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]["status"])


def _add_on(eks: Any, cluster: str, body: Body) -> str:
    return str(eks.describe_addon(clusterName=cluster, addonName=body["addon_name"])["addon"]["status"])


def _access_entry(eks: Any, cluster: str, body: Body) -> str:
    eks.describe_access_entry(clusterName=cluster, principalArn=body["principal_arn"])
    return ""


def _pod_identity(wanted: Wanted) -> Found | None:
    cluster = wanted.value("cluster_name")
    eks = wanted.search.session.client("eks")
    whose = {"namespace": wanted.body["namespace"], "serviceAccount": wanted.body["service_account"]}
    try:
        found = eks.list_pod_identity_associations(clusterName=cluster, **whose)["associations"]
    except eks.exceptions.ResourceNotFoundException:
        return None
    ids = [one["associationId"] for one in found]
    return Found(ids[0], f"{cluster},{ids[0]}") if ids else None


def _database(wanted: Wanted) -> Found | None:
    name = str(wanted.body["identifier"])
    found = protection.database_of(wanted.search.session.client("rds"), name)
    if found is None:
        return None
    word = str(found["DBInstanceStatus"])
    if word == "deleting":
        condition = Condition.LEAVING
    elif protection.is_lost(found):
        condition = Condition.FAILED
    else:
        condition = Condition.READY if word in _DATABASE_IN_USE else Condition.UNFINISHED
    was_whole = wanted.was_made or "LatestRestorableTime" in found
    return Found(name, condition=condition, holds_data=was_whole, status=word)


def _bucket(wanted: Wanted) -> Found | None:
    name = str(wanted.body["bucket"])
    here = name in buckets.buckets_of(wanted.search.session, wanted.search.environment_id)
    return Found(name, holds_data=True) if here else None


def _openid_provider(wanted: Wanted) -> Found | None:
    """Find the provider of the environment's cluster: one of an earlier cluster has another issuer."""
    cluster = cluster_access.find(wanted.search.session, wanted.search.names.cluster) or {}
    issuer = cluster.get("identity", {}).get("oidc", {}).get("issuer", "")
    host = issuer.removeprefix("https://")
    for arn in openid_providers(wanted.search.session, wanted.search.environment_id):
        if host and arn.endswith(f"oidc-provider/{host}"):
            return Found(arn)
    return None


def _key(wanted: Wanted) -> Found | None:
    """Find the key: KMS has no names, and the tagging API may not list it yet."""
    kms = wanted.search.session.client("kms")
    for id_ in _keys(wanted):
        try:
            word = str(kms.describe_key(KeyId=id_)["KeyMetadata"]["KeyState"])
        except ClientError as error:
            if error_code(error) != "NotFoundException":
                raise
            continue
        if word not in _KEY_GONE:
            return Found(id_, condition=_KEY_STATES.get(word, Condition.READY), status=word)
    return None


def _keys(wanted: Wanted) -> Iterator[str]:
    """Yield ids of keys, those first that are found at once; of all that an account has, what has our tag."""
    held = wanted.search.known.state.get(wanted.address)
    if held:
        yield held
        return
    if journaled := wanted.search.known.journal.get(wanted.address):
        yield journaled
    kms = wanted.search.session.client("kms")
    for page in kms.get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            if alias["AliasName"] == f"alias/{wanted.search.names.cluster}" and "TargetKeyId" in alias:
                yield alias["TargetKeyId"]
    tagged = tagged_resources(wanted.search.session, wanted.search.environment_id)
    yield from (id_ for kind, id_ in tagged if kind == "kms:key")
    for page in kms.get_paginator("list_keys").paginate():
        yield from (
            key["KeyId"] for key in page["Keys"] if _is_ours(kms, key["KeyId"], wanted.search.environment_id)
        )


def _is_ours(kms: Any, id_: str, environment_id: str) -> bool:
    try:
        tags = kms.list_resource_tags(KeyId=id_)["Tags"]
    except ClientError as error:
        # Of AWS's own, or one whose policy lets nobody look.
        if error_code(error) not in ("AccessDeniedException", "NotFoundException"):
            raise
        return False
    return {"TagKey": ENVIRONMENT_ID_TAG, "TagValue": environment_id} in tags


def _role_policy(wanted: Wanted) -> Found | None:
    role, name = wanted.value("role"), str(wanted.body["name"])
    iam = wanted.search.session.client("iam")
    try:
        iam.get_role_policy(RoleName=role, PolicyName=name)
    except iam.exceptions.NoSuchEntityException:
        return None
    return Found(f"{role}:{name}")


def _attachment(wanted: Wanted) -> Found | None:
    role, policy = wanted.value("role"), wanted.value("policy_arn")
    iam = wanted.search.session.client("iam")
    try:
        pages = [*iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)]
    except iam.exceptions.NoSuchEntityException:
        return None
    attached = {one["PolicyArn"] for page in pages for one in page["AttachedPolicies"]}
    return Found(f"{role}/{policy}") if policy in attached else None


def _grant(wanted: Wanted) -> Found | None:
    """Find the grant on the customer's key by its name: it is the environment's."""
    key = wanted.value("key_id")
    for page in wanted.search.session.client("kms").get_paginator("list_grants").paginate(KeyId=key):
        for grant in page["Grants"]:
            if grant.get("Name") == wanted.body["name"]:
                return Found(f"{key}:{grant['GrantId']}")
    return None


FIRST: Mapping[str, tuple[str, Find]] = {
    "aws_cloudwatch_log_group": ("NAME", _named("logs:log-group", "name")),
    "aws_iam_role": ("NAME", _named("iam:role", "name")),
    "aws_iam_role_policy": ("ROLE:NAME", _role_policy),
    "aws_iam_role_policy_attachment": ("ROLE/POLICY", _attachment),
    "aws_kms_key": ("KEY", _key),
    "aws_kms_alias": ("NAME", _named("kms:alias", "name")),
    "aws_eks_cluster": ("NAME", _cluster),
}
"""By type: the form of its import id, and how it is found. What others refer to comes before them."""
REST: Mapping[str, tuple[str, Find]] = {
    "aws_eks_node_group": (
        "CLUSTER:NAME",
        _in_cluster(_node_group, "node_group_name"),
    ),
    "aws_eks_addon": ("CLUSTER:NAME", _in_cluster(_add_on, "addon_name")),
    "aws_eks_access_entry": (
        "CLUSTER:PRINCIPAL",
        _in_cluster(_access_entry, "principal_arn"),
    ),
    "aws_eks_pod_identity_association": ("CLUSTER,ASSOCIATION", _pod_identity),
    "aws_iam_openid_connect_provider": ("ARN", _openid_provider),
    "aws_kms_grant": ("KEY:GRANT", _grant),
    "aws_db_subnet_group": ("NAME", _named("rds:subgrp", "name")),
    "aws_db_parameter_group": ("NAME", _named("rds:pg", "name")),
    "aws_db_instance": ("IDENTIFIER", _database),
    "aws_elasticache_subnet_group": ("NAME", _named("elasticache:subnetgroup", "name")),
    "aws_elasticache_parameter_group": ("NAME", _named("elasticache:parametergroup", "name")),
    "aws_elasticache_user": ("USER", _named("elasticache:user", "user_id")),
    "aws_elasticache_user_group": ("GROUP", _named("elasticache:usergroup", "user_group_id")),
    "aws_elasticache_replication_group": (
        "GROUP",
        _named("elasticache:replicationgroup", "replication_group_id", holds_data=True),
    ),
    "aws_s3_bucket": ("BUCKET", _bucket),
}
"""The same, for what nothing else refers to, or only by its name."""


def _remove_part(operation: str, argument: str, session: AwsSession, found: Found) -> None:
    cluster, _, name = found.id.partition(":")
    getattr(session.client("eks"), operation)(clusterName=cluster, **{argument: name})


def _remove_cluster(session: AwsSession, found: Found) -> None:
    session.client("eks").delete_cluster(name=found.id)


def _remove_database(session: AwsSession, found: Found) -> None:
    rds = session.client("rds")
    try:
        rds.modify_db_instance(DBInstanceIdentifier=found.id, DeletionProtection=False, ApplyImmediately=True)
    except ClientError as error:
        # What failed may take no change any more; whether it is protected then is for RDS to say.
        if error_code(error) not in ("InvalidDBInstanceState", "InvalidDBInstanceStateFault"):
            raise
    rds.delete_db_instance(DBInstanceIdentifier=found.id, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)


def _remove_replication_group(session: AwsSession, found: Found) -> None:
    session.client("elasticache").delete_replication_group(ReplicationGroupId=found.id)


def _remove_nat_gateway(session: AwsSession, found: Found) -> None:
    session.client("ec2").delete_nat_gateway(NatGatewayId=found.id)


REMOVERS: Mapping[str, Callable[[AwsSession, Found], None]] = {
    "aws_db_instance": _remove_database,
    "aws_eks_addon": partial(_remove_part, "delete_addon", "addonName"),
    "aws_eks_cluster": _remove_cluster,
    "aws_eks_node_group": partial(_remove_part, "delete_nodegroup", "nodegroupName"),
    "aws_elasticache_replication_group": _remove_replication_group,
    "aws_nat_gateway": _remove_nat_gateway,
}
"""How what failed for good is deleted, by type: those that AWS may give up after it has taken the request."""
