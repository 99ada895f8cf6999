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
from beta9_provisioning.clouds.aws.of_cluster import BALANCER_TAG, Made
from beta9_provisioning.clouds.aws.session import AwsSession, described, error_code
from beta9_provisioning.engine.beta9.platform import SharedCluster
from beta9_provisioning.engine.errors import Stopped

_POLL_SECONDS = 2.0
Wanted = Callable[[Mapping[str, str]], bool]
"""Tells by its tags whether a thing is wanted."""
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


def sweep(
    session: AwsSession,
    environment_id: str,
    seconds: float,
    stop: threading.Event,
    *,
    given: SharedCluster | None = None,
) -> list[str]:
    """Remove all of it; return what was removed, as kind and id.

    While the cluster exists nothing is removed, but for log groups of one that was `given`: what controllers
    made in it they take away, or make again. What something else holds is tried again for `seconds`, then
    left: the inventory names it.

    Raises:
        AwsError: AWS failed, or the role may not do it.
        Stopped: the stop event was set.
    """
    broom = _Broom(session, environment_id, given)
    deadline = time.monotonic() + seconds
    with session.explained("remove what the cluster has left in the account"):
        cluster = given.name if given else names(environment_id).cluster
        broom.is_standing = cluster_access.find(session, cluster) is not None
        if broom.is_standing and given is None:
            return []
        while not broom.sweep() and time.monotonic() < deadline:
            if stop.wait(_POLL_SECONDS):
                raise Stopped("The sweep of the account was stopped.")
    return broom.removed


def load_balancers(session: AwsSession, is_wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Yield kind and ARN or name of load balancers and target groups with tags that are wanted."""
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
            yield from ((kind, id_) for id_ in _tagged(client, kind, some, is_wanted))


def _tagged(client: Any, kind: str, ids: list[str], is_wanted: Wanted) -> list[str]:
    """Return those of the ids whose tags are wanted; one that vanished costs another look."""
    classic = kind == "classic"
    try:
        answer = client.describe_tags(**{"LoadBalancerNames" if classic else "ResourceArns": ids})
    except ClientError as error:
        if error_code(error) not in _GONE:
            raise
        return [one for id_ in ids for one in _tagged(client, kind, [id_], is_wanted)] if ids[1:] else []
    key = "LoadBalancerName" if classic else "ResourceArn"
    found = answer["TagDescriptions"]
    return [entry[key] for entry in found if is_wanted(_tags(entry.get("Tags", ())))]


def made_by(environment_id: str, given: SharedCluster | None) -> Wanted:
    """Return what tells by its tags whether controllers of the environment's cluster, or EKS, made a thing.

    Of those in a cluster that was `given`, what they made for the environment.
    """
    if given is not None:
        return Made(given, environment_id).has_balancer
    cluster = names(environment_id).cluster
    return lambda tags: is_clusters(tags, cluster)


def is_clusters(tags: Mapping[str, str], cluster: str) -> bool:
    """Return whether controllers in the cluster, or EKS for it, have made what carries these tags."""
    return any(tags.get(tag) == value for tag, value in cluster_tags(cluster).items())


def cluster_tags(cluster: str) -> Mapping[str, str]:
    """Return the tags of which one is on all that controllers in a cluster make, or EKS for it."""
    return {
        f"kubernetes.io/cluster/{cluster}": "owned",
        BALANCER_TAG: cluster,
        "cluster.k8s.amazonaws.com/name": cluster,
        "aws:eks:cluster-name": cluster,
    }


def _tags(entries: Any) -> dict[str, str]:
    return {entry["Key"]: entry.get("Value", "") for entry in entries}


class _Broom:
    """Sweeps again and again, and remembers what it has removed."""

    def __init__(self, session: AwsSession, environment_id: str, given: SharedCluster | None = None) -> None:
        self.removed: list[str] = []
        self.is_standing = False
        self._made = Made(given, environment_id) if given else None
        self._is_ours = made_by(environment_id, given)
        self._session = session
        self._names = names(environment_id)
        self._ec2 = session.client("ec2")
        self._balancers: set[str] = set()

    def sweep(self) -> bool:
        """Remove what can be removed, and return whether that was all."""
        if self.is_standing:
            return self._logs()
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
        for kind, id_ in list(load_balancers(self._session, self._is_ours)):
            if kind != "targetgroup":
                # Its interfaces say so: ELB net/name/number, or ELB name of a classic one.
                self._balancers.add(f"ELB {id_.rpartition('loadbalancer/')[2]}")
            done &= self._remove(f"elasticloadbalancing:{kind}", id_, delete[kind])
        return done

    def _volumes(self) -> bool:
        done = True
        for entry in self._of_cluster("describe_volumes", "Volumes"):
            if entry["State"] == "deleting" or (self._made and not self._made.has_volume(entry)):
                continue
            done &= self._remove(
                "ec2:volume", entry["VolumeId"], lambda id_: self._ec2.delete_volume(VolumeId=id_)
            )
        return done

    def _interfaces(self) -> bool:
        """Delete the CNI's interfaces; those of load balancers go by themselves, and are waited for."""
        done = not self._of_balancers()
        for id_ in self._tagged("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"):
            done &= self._remove(
                "ec2:network-interface",
                id_,
                lambda id_: self._ec2.delete_network_interface(NetworkInterfaceId=id_),
            )
        return done

    def _of_balancers(self) -> list[dict[str, Any]]:
        """Return the interfaces of load balancers that this broom has deleted; they carry no tags."""
        if not self._balancers:
            return []
        wanted = {"Name": "description", "Values": sorted(self._balancers)}
        return described(self._ec2, "describe_network_interfaces", "NetworkInterfaces", wanted)

    def _groups(self) -> bool:
        """Delete security groups until no round gets further: a rule of one may name another."""
        while True:
            doomed = self._tagged("describe_security_groups", "SecurityGroups", "GroupId")
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
        if self._made is not None:
            return described(self._ec2, operation, key, *self._made.volumes)
        tag = f"kubernetes.io/cluster/{self._names.cluster}"
        return described(self._ec2, operation, key, {"Name": f"tag:{tag}", "Values": ["owned"]})

    def _tagged(self, operation: str, key: str, id_key: str) -> list[str]:
        """Return the ids of what carries one of the cluster's tags, in whosever network it is.

        Of what was made in a cluster of the user's, those of the environment's load balancer.
        """
        if self._made is not None:
            return [entry[id_key] for entry in described(self._ec2, operation, key, *self._made.groups)]
        found = {
            entry[id_key]
            for tag, value in cluster_tags(self._names.cluster).items()
            for entry in described(self._ec2, operation, key, {"Name": f"tag:{tag}", "Values": [value]})
        }
        return sorted(found)
