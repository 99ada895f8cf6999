"""Removes what AWS's services and a cluster's controllers made, and nobody else removes once that is gone.

Load balancers and volumes of a cluster that could not be drained, by their tags; interfaces that the CNI left
(https://github.com/aws/amazon-vpc-cni-k8s/issues/608), the security groups that they held, and log groups
that late logs made again (https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2486).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws import cluster_access
from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

_POLL_SECONDS = 2.0
# As many as DescribeTags of load balancers takes.
_MOST_TAGGED = 20
_GONE = frozenset(
    {
        "InvalidGroup.NotFound",
        "InvalidNetworkInterfaceID.NotFound",
        "InvalidVolume.NotFound",
        "LoadBalancerNotFound",
        "ResourceNotFoundException",
        "TargetGroupNotFound",
    }
)
# In use for now: by what is on its way out, mostly.
_HELD = frozenset(
    {
        "DependencyViolation",
        "InvalidGroup.InUse",
        "InvalidNetworkInterface.InUse",
        "InvalidParameterValue",
        "OperationAbortedException",
        "OperationNotPermitted",
        "ResourceInUse",
        "VolumeInUse",
    }
)


def sweep(session: AwsSession, environment_id: str, seconds: float, stop: threading.Event) -> list[str]:
    """Remove all of it; return what was removed, as kind and id. Nothing happens while the cluster exists.

    What something else holds is tried again for `seconds`, then left: the inventory names it.

    Raises:
        AwsError: AWS failed, or the role may not do it.
        Stopped: the stop event was set.
    """
    broom = _Broom(session, environment_id)
    deadline = time.monotonic() + seconds
    with session.explained("remove what the cluster has left in the account"):
        if cluster_access.find(session, names(environment_id).cluster) is not None:
            return []
        while not broom.sweep() and time.monotonic() < deadline:
            if stop.wait(_POLL_SECONDS):
                raise Stopped("The sweep of the account was stopped.")
    return broom.removed


def load_balancers(session: AwsSession, cluster: str) -> Iterator[tuple[str, str]]:
    """Yield kind and ARN or name of a cluster's load balancers and target groups."""
    for kind, service, operation, key, id_key in (
        ("loadbalancer", "elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn"),
        ("targetgroup", "elbv2", "describe_target_groups", "TargetGroups", "TargetGroupArn"),
        ("classic", "elb", "describe_load_balancers", "LoadBalancerDescriptions", "LoadBalancerName"),
    ):
        client = session.client(service)
        pages = client.get_paginator(operation).paginate()
        ids = [entry[id_key] for page in pages for entry in page[key]]
        for first in range(0, len(ids), _MOST_TAGGED):
            some = ids[first : first + _MOST_TAGGED]
            yield from ((kind, id_) for id_ in _tagged(client, kind, some, cluster))


def _tagged(client: Any, kind: str, ids: list[str], cluster: str) -> list[str]:
    """Return those of the ids that carry the cluster's tag; one that vanished costs another look."""
    classic = kind == "classic"
    try:
        answer = client.describe_tags(**{"LoadBalancerNames" if classic else "ResourceArns": ids})
    except ClientError as error:
        if error_code(error) not in _GONE:
            raise
        return [one for id_ in ids for one in _tagged(client, kind, [id_], cluster)] if len(ids) > 1 else []
    key = "LoadBalancerName" if classic else "ResourceArn"
    found = answer["TagDescriptions"]
    return [entry[key] for entry in found if is_clusters(_tags(entry.get("Tags", ())), cluster)]


def is_clusters(tags: Mapping[str, str], cluster: str) -> bool:
    """Return whether controllers in the cluster, or EKS for it, have made what carries these tags."""
    return (
        tags.get(f"kubernetes.io/cluster/{cluster}") == "owned"
        or tags.get("elbv2.k8s.aws/cluster") == cluster
        or tags.get("cluster.k8s.amazonaws.com/name") == cluster
        or tags.get("aws:eks:cluster-name") == cluster
    )


def _tags(entries: Any) -> dict[str, str]:
    return {entry["Key"]: entry.get("Value", "") for entry in entries}


class _Broom:
    """Sweeps again and again, and remembers what it has removed."""

    def __init__(self, session: AwsSession, environment_id: str) -> None:
        self.removed: list[str] = []
        self._session = session
        self._environment_id = environment_id
        self._names = names(environment_id)
        self._ec2 = session.client("ec2")
        self._balancers: set[str] = set()

    def sweep(self) -> bool:
        """Remove what can be removed, and return whether that was all."""
        # In this order: each of them may hold the next.
        parts = (self._load_balancers, self._volumes, self._interfaces, self._groups, self._logs)
        return all([part() for part in parts])

    def _load_balancers(self) -> bool:
        elb, classic = self._session.client("elbv2"), self._session.client("elb")
        delete = {
            "loadbalancer": lambda id_: elb.delete_load_balancer(LoadBalancerArn=id_),
            "targetgroup": lambda id_: elb.delete_target_group(TargetGroupArn=id_),
            "classic": lambda id_: classic.delete_load_balancer(LoadBalancerName=id_),
        }
        done = True
        for kind, id_ in list(load_balancers(self._session, self._names.cluster)):
            if kind != "targetgroup":
                # Its interfaces say so: ELB net/name/number, or ELB name of a classic one.
                self._balancers.add(f"ELB {id_.rpartition('loadbalancer/')[2]}")
            done &= self._remove(f"elasticloadbalancing:{kind}", id_, delete[kind])
        return done

    def _volumes(self) -> bool:
        done = True
        for entry in self._of_cluster("describe_volumes", "Volumes"):
            if entry["State"] == "deleting":
                continue
            done &= self._remove(
                "ec2:volume", entry["VolumeId"], lambda id_: self._ec2.delete_volume(VolumeId=id_)
            )
        return done

    def _interfaces(self) -> bool:
        """Delete the CNI's interfaces; those of load balancers go by themselves, and are waited for."""
        done = True
        for entry in self._in_network("describe_network_interfaces", "NetworkInterfaces"):
            if entry.get("Description") in self._balancers:
                done = False
            elif is_clusters(_tags(entry.get("TagSet", ())), self._names.cluster):
                done &= self._remove(
                    "ec2:network-interface",
                    entry["NetworkInterfaceId"],
                    lambda id_: self._ec2.delete_network_interface(NetworkInterfaceId=id_),
                )
        return done

    def _groups(self) -> bool:
        """Delete security groups until no round gets further: a rule of one may name another."""
        while True:
            doomed = [
                entry["GroupId"]
                for entry in self._in_network("describe_security_groups", "SecurityGroups")
                if is_clusters(_tags(entry.get("Tags", ())), self._names.cluster)
            ]
            deleted = [
                self._remove(
                    "ec2:security-group", id_, lambda id_: self._ec2.delete_security_group(GroupId=id_)
                )
                for id_ in doomed
            ]
            if all(deleted) or not any(deleted):
                return all(deleted)

    def _logs(self) -> bool:
        """Delete log groups by their names: others that name the cluster are not ours."""
        logs = self._session.client("logs")
        done = True
        for name in sorted(self._names.log_groups):
            done &= self._remove("logs:log-group", name, lambda id_: logs.delete_log_group(logGroupName=id_))
        return done

    def _remove(self, kind: str, id_: str, delete: Callable[[str], object]) -> bool:
        """Delete one; return False when something holds it."""
        try:
            delete(id_)
        except ClientError as error:
            code = error_code(error)
            if code in _HELD:
                return False
            if code not in _GONE:
                raise
        else:
            self.removed.append(f"{kind} {id_}")
        return True

    def _of_cluster(self, operation: str, key: str) -> list[dict[str, Any]]:
        tag = f"kubernetes.io/cluster/{self._names.cluster}"
        return self._entries(operation, key, {"Name": f"tag:{tag}", "Values": ["owned"]})

    def _in_network(self, operation: str, key: str) -> list[dict[str, Any]]:
        own = {"Name": f"tag:{ENVIRONMENT_ID_TAG}", "Values": [self._environment_id]}
        networks = [entry["VpcId"] for entry in self._entries("describe_vpcs", "Vpcs", own)]
        return self._entries(operation, key, {"Name": "vpc-id", "Values": networks}) if networks else []

    def _entries(self, operation: str, key: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        pages = self._ec2.get_paginator(operation).paginate(Filters=[wanted])
        return [entry for page in pages for entry in page[key]]
