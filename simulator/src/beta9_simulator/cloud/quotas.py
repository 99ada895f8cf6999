"""How many of a kind an account may have: refused at once, but for instances, which fail while they start.

The codes are those of Service Quotas, the figures its defaults as the services' user guides tell them. A
setting ``quota:<account>:<code>`` of the store raises or lowers one in every region of an account.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store, StoredObject

_VCPUS_CODE = "L-1216C47A"
# Of new accounts it is 5, with which no cluster starts; this is what an account has that asked once.
_VCPUS = 256
_VCPUS_OF_SIZE = {"medium": 2, "large": 2, "xlarge": 4}


@dataclass(frozen=True)
class Quota:
    """A quota of one type of resources, and how the service refuses more; ``by_zone`` counts in each zone."""

    code: str
    most: int
    error: str
    message: str
    by_zone: bool = False


QUOTAS: Mapping[str, Quota] = {
    "aws_db_instance": Quota("L-7B6409FD", 40, "InstanceQuotaExceeded", "DB Instance quota exceeded"),
    "aws_eip": Quota(
        "L-0263D0A3", 5, "AddressLimitExceeded", "The maximum number of addresses has been reached."
    ),
    "aws_eks_cluster": Quota("L-1194D53C", 100, "ResourceLimitExceededException", "Cluster limit exceeded"),
    "aws_iam_role": Quota(
        "L-FE177D64", 1000, "LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000"
    ),
    "aws_internet_gateway": Quota(
        "L-A4707A72",
        5,
        "InternetGatewayLimitExceeded",
        "The maximum number of internet gateways has been reached.",
    ),
    "aws_nat_gateway": Quota(
        "L-FE5A380F",
        5,
        "NatGatewayLimitExceeded",
        "The maximum number of NAT Gateways has been reached.",
        by_zone=True,
    ),
    "aws_vpc": Quota("L-F678F1CE", 5, "VpcLimitExceeded", "The maximum number of VPCs has been reached."),
}


def check(store: Store, new: NewObject) -> None:
    """Raise ``CloudError`` when an account has as many as it may have."""
    quota = QUOTAS.get(new.type)
    if quota is None:
        return
    held = store.find(new.type, account=new.account, region=new.region)
    if quota.by_zone:
        zone = _zone(store, str(new.state["subnet_id"]))
        held = [one for one in held if _zone(store, str(one.state["subnet_id"])) == zone]
    if len(held) >= _most(store, new.account, quota.code, quota.most):
        raise CloudError(quota.error, quota.message)


def instances_over(store: Store, made: StoredObject) -> str:
    """Return why not all instances of a node group can be started: too many vCPUs; empty when they can."""
    groups = store.find(made.type, account=made.account, region=made.region)
    wanted = sum(map(_vcpus, groups))
    most = _most(store, made.account, _VCPUS_CODE, _VCPUS)
    if wanted <= most:
        return ""
    return (
        "AsgInstanceLaunchFailures: Could not launch On-Demand Instances. VcpuLimitExceeded - You have "
        f"requested more vCPU capacity than your current vCPU limit of {most} allows for the instance bucket "
        "that the specified instance type belongs to. Please visit "
        "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. Launching EC2 "
        "instance failed."
    )


def _most(store: Store, account: str, code: str, default: int) -> int:
    return int(store.setting(f"quota:{account}:{code}", str(default)))


def _zone(store: Store, subnet_id: str) -> str:
    return next((str(one.state["availability_zone"]) for one in store.find("aws_subnet", id=subnet_id)), "")


def _vcpus(group: StoredObject) -> int:
    if group.state["capacity_type"] == "SPOT":
        return 0
    size = group.state["instance_types"][0].rpartition(".")[2]
    times = re.fullmatch(r"(\d+)xlarge", size)
    each = 4 * int(times[1]) if times else _VCPUS_OF_SIZE.get(size, 2)
    return each * int(group.state["scaling_config"][0]["desired_size"])
