"""What a call of AWS's API needs to be allowed, from its operation and its parameters.

After AWS's reference (`service_reference.json`); `_NAMED_BY` says which parameters name which resources.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud.authorization.operations import CREATE_TAGS, actions
from beta9_simulator.cloud.authorization.reference import permission
from beta9_simulator.cloud.authorization.things import BOUNDARY, Context, Target, Things, of_action, requested
from beta9_simulator.cloud.iam.evaluation import Asked
from beta9_simulator.cloud.store import Store

FREE = frozenset({("sts", "GetCallerIdentity"), ("sts", "AssumeRoleWithWebIdentity")})
"""What everybody may call."""

_NAMED_BY: Mapping[str, Sequence[str]] = {
    "ec2:network-interface": ("NetworkInterfaceId",),
    "ec2:security-group": ("GroupId",),
    "ec2:snapshot": ("SnapshotId",),
    "ec2:volume": ("VolumeId",),
    "ec2:vpc": ("VpcId",),
    "eks:access-entry": ("clusterName principalArn",),
    "eks:addon": ("clusterName addonName",),
    "eks:cluster": ("name", "clusterName"),
    "eks:nodegroup": ("clusterName nodegroupName",),
    "elasticache:cluster": ("CacheClusterId",),
    "elasticache:parametergroup": ("CacheParameterGroupName",),
    "elasticache:replicationgroup": ("ReplicationGroupId",),
    "elasticache:subnetgroup": ("CacheSubnetGroupName",),
    "elasticache:user": ("UserId",),
    "elasticache:usergroup": ("UserGroupId",),
    "elasticloadbalancing:loadbalancer/app/": ("LoadBalancerArn",),
    "elasticloadbalancing:loadbalancer/net/": ("LoadBalancerArn",),
    "elasticloadbalancing:targetgroup": ("TargetGroupArn",),
    "iam:oidc-provider": ("OpenIDConnectProviderArn",),
    "iam:policy": ("PolicyArn",),
    "iam:role": ("RoleName", "PolicySourceArn"),
    "kms:key": ("KeyId",),
    "logs:log-group": ("logGroupName",),
    "rds:db": ("DBInstanceIdentifier",),
    "rds:pg": ("DBParameterGroupName",),
    "rds:snapshot": ("DBSnapshotIdentifier",),
    "rds:subgrp": ("DBSubnetGroupName",),
    "s3:bucket": ("Bucket",),
    "secretsmanager:Secret": ("SecretId", "Name"),
    "ssm:parameter": ("Name",),
    "sts:role": ("RoleArn",),
}
_TAGS = ("Tags", "TagList", "tags")


@dataclass(frozen=True)
class Called:
    """A call: the service by its signing name, the operation, and its parameters in boto3's shape."""

    service: str
    operation: str
    params: Mapping[str, Any]
    account: str
    region: str


def needs(store: Store, call: Called) -> list[Asked]:
    """Return all that a call asks for, each permission with one resource."""
    if (call.service, call.operation) in FREE:
        return []
    return list(_needs(Things(store, call.account, call.region), call))


def _needs(things: Things, call: Called) -> Iterator[Asked]:
    if call.operation == "DeleteObjects":
        yield from _deleted(call)
        return
    tags = _tags(call.params)
    more = requested(tags)
    if call.operation in ("AttachRolePolicy", "DetachRolePolicy"):
        more["iam:PolicyARN"] = str(call.params["PolicyArn"])
    if call.service == "iam" and call.params.get("PermissionsBoundary"):
        more[BOUNDARY] = str(call.params["PermissionsBoundary"])
    if call.operation == "AssumeRole":
        told = {"sts:ExternalId": "ExternalId", "sts:RoleSessionName": "RoleSessionName"}
        more |= {key: str(call.params[name]) for key, name in told.items() if call.params.get(name)}
    for action in _actions(call):
        yield from _on(things, call, action, more)
    if call.operation == "CreateBucket" and call.params.get("ObjectOwnership"):
        yield from _on(things, call, "s3:PutBucketOwnershipControls", {})
    if tags and call.operation.startswith("Create"):
        for action in CREATE_TAGS.get(call.service, ()):
            yield from _on(things, call, action, requested(tags))
    if call.operation == "AssumeRole" and tags:
        yield from _on(things, call, "sts:TagSession", requested(tags))


def _actions(call: Called) -> Sequence[str]:
    if call.service == "s3" and call.params.get("VersionId"):
        found = {"GetObject": "s3:GetObjectVersion", "DeleteObject": "s3:DeleteObjectVersion"}
        if call.operation in found:
            return (found[call.operation],)
    return actions(call.service, call.operation)


def _on(things: Things, call: Called, action: str, more: Context) -> Iterator[Asked]:
    told = permission(action)
    is_named = False
    for resource_type, is_required in told.on.items():
        target = _target(things, call, resource_type, action)
        if target is None and is_required:
            target = Target(things.arn(resource_type, "*", action), {})
        if target is not None:
            is_named = True
            yield Asked(action, target.arn, of_action(told, {**target.context, **more}), told.known)
    if not is_named:
        yield Asked(action, "*", more, told.known)


def _target(things: Things, call: Called, resource_type: str, action: str) -> Target | None:
    params = call.params
    if resource_type == "s3:object":
        return Target(f"arn:aws:s3:::{params['Bucket']}/{params['Key']}", {}) if params.get("Key") else None
    for names in _NAMED_BY.get(resource_type, ()):
        values = [str(params[name]) for name in names.split() if params.get(name)]
        if len(values) != len(names.split()):
            continue
        if resource_type == "secretsmanager:Secret":
            return Target(_secret(things, values[0]), {})
        if resource_type == "ssm:parameter" and values[0].startswith("/aws/service/"):
            return Target(f"arn:aws:ssm:{call.region}::parameter{values[0]}", {})
        return things.target(resource_type, ":".join(values), action)
    return None


def _secret(things: Things, name: str) -> str:
    """Return a secret's ARN; one that is not there yet gets six characters that nobody knows."""
    found = things.target("secretsmanager:Secret", name)
    return found.arn if name.startswith("arn:") or found.context else f"{found.arn}-000000"


def _deleted(call: Called) -> Iterator[Asked]:
    """Return what the delete of several objects asks for, each by itself."""
    for one in call.params.get("Delete", {}).get("Objects", ()):
        action = "s3:DeleteObjectVersion" if one.get("VersionId") else "s3:DeleteObject"
        place = f"arn:aws:s3:::{call.params['Bucket']}/{one['Key']}"
        yield Asked(action, place, {}, permission(action).known)


def _tags(params: Mapping[str, Any]) -> dict[str, str]:
    for name in _TAGS:
        found = params.get(name)
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
        if found:
            return {tag["Key"]: tag["Value"] for tag in found}
    return {}
