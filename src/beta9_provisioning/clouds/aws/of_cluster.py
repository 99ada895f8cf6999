"""What was made for an environment in a cluster of the user's, as AWS shows it: told from all else there.

A load balancer carries the environment's tags, for its Service asks for them. A disk carries the namespace of
its claim; a cluster takes one environment, and what is older than the environment is not its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beta9_provisioning.engine.beta9.platform import SharedCluster
from beta9_provisioning.engine.beta9.releases import SHARED_NAMESPACES
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

BALANCER_TAG = "elbv2.k8s.aws/cluster"
"""Of what the load balancer controller makes: the cluster's name."""
_CLAIM_TAG = "kubernetes.io/created-for/pvc/namespace"


def chosen_cluster(choices: Mapping[str, Any] | None) -> SharedCluster | None:
    """Return the user's cluster that an environment was put into, by choices of whatever form; or None."""
    found = (choices or {}).get("cluster")
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return None
    return SharedCluster(found["name"], str(found.get("since", "")))


@dataclass(frozen=True)
class Made:
    """What is an environment's of what the controllers of a user's cluster make."""

    cluster: SharedCluster
    environment_id: str

    def has_balancer(self, tags: Mapping[str, str]) -> bool:
        """Return whether what the load balancer controller made, with these tags, is the environment's."""
        return (
            tags.get(BALANCER_TAG) == self.cluster.name
            and tags.get(ENVIRONMENT_ID_TAG) == self.environment_id
        )

    @property
    def volumes(self) -> list[dict[str, Any]]:
        """The filters of EC2 for disks of the environment's claims, and of claims of before it."""
        return [
            {"Name": f"tag:kubernetes.io/cluster/{self.cluster.name}", "Values": ["owned"]},
            {"Name": f"tag:{_CLAIM_TAG}", "Values": list(SHARED_NAMESPACES)},
        ]

    def has_volume(self, entry: Mapping[str, Any]) -> bool:
        """Return whether a disk that these filters find is the environment's."""
        created: datetime | None = entry.get("CreateTime")
        if created is None:
            return True
        return f"{created.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" >= self.cluster.since

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The filters of EC2 for security groups of the environment's load balancer."""
        return [
            {"Name": f"tag:{BALANCER_TAG}", "Values": [self.cluster.name]},
            {"Name": f"tag:{ENVIRONMENT_ID_TAG}", "Values": [self.environment_id]},
        ]
