"""What a stack costs in AWS each month, from the prices in `examples/prices.toml`.

Only what costs by existing is counted: not what depends on use, such as traffic, logs, objects and snapshots.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.examples import ROOT, Document, resources

PRICES = tomllib.loads((ROOT / "examples" / "prices.toml").read_text())
FREE = {
    "aws_cloudwatch_log_group",
    "aws_db_parameter_group",
    "aws_db_subnet_group",
    "aws_default_security_group",
    "aws_eks_access_entry",
    "aws_eks_access_policy_association",
    "aws_eks_addon",
    "aws_eks_pod_identity_association",
    "aws_elasticache_parameter_group",
    "aws_elasticache_subnet_group",
    "aws_elasticache_user",
    "aws_elasticache_user_group",
    "aws_flow_log",
    "aws_iam_openid_connect_provider",
    "aws_iam_policy",
    "aws_iam_role",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_internet_gateway",
    "aws_kms_alias",
    "aws_kms_grant",
    "aws_launch_template",
    "aws_route",
    "aws_route_table",
    "aws_route_table_association",
    "aws_s3_bucket",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_logging",
    "aws_s3_bucket_ownership_controls",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
    "aws_secretsmanager_secret_version",
    "aws_security_group",
    "aws_subnet",
    "aws_vpc",
    "aws_vpc_security_group_egress_rule",
    "aws_vpc_security_group_ingress_rule",
}
"""Types that cost nothing by existing."""


@dataclass(frozen=True)
class Cost:
    """A part of the bill: so many of something, and what one costs a month, in dollars."""

    what: str
    amount: float
    each: float

    @property
    def dollars(self) -> float:
        """What it costs a month."""
        return self.amount * self.each


def costs(document: Document) -> list[Cost]:
    """Return what a stack costs, with the load balancer that its cluster makes.

    Raises:
        ValueError: it has a type of which nobody said what it costs.
        KeyError: it has a machine without a price.
    """
    found = [cost for address, body in resources(document).items() for cost in _of(document, address, body)]
    public = [address for address in resources(document) if address.startswith("aws_subnet.public")]
    found.append(Cost("network load balancer", 1, _hourly("load_balancer")))
    found.append(Cost("public IPv4 address", len(public), _hourly("public_address")))
    return _added(found)


def _of(document: Document, address: str, body: Document) -> Iterator[Cost]:
    kind = address.partition(".")[0]
    if kind in _SIMPLE:
        what, each = _SIMPLE[kind]
        yield Cost(what, 1, each)
    elif kind in _COMPOSED:
        yield from _COMPOSED[kind](document, body)
    elif kind not in FREE:
        raise ValueError(f"{address}: what does it cost? Say it in scripts/aws_costs.py")


def _database(_: Document, body: Document) -> Iterator[Cost]:
    times, where = (2, ", two zones") if body["multi_az"] else (1, "")
    machine, gib = body["instance_class"], PRICES["month"]["database_gib"]
    yield Cost(f"RDS {machine}{where}", 1, times * _hourly("database", machine))
    yield Cost(f"RDS storage, GiB{where}", body["allocated_storage"], times * gib)
    if body.get("manage_master_user_password"):
        yield Cost("secret", 1, PRICES["month"]["secret"])


def _redis(_: Document, body: Document) -> Iterator[Cost]:
    machine = body["node_type"]
    yield Cost(f"ElastiCache {machine}", body["num_cache_clusters"], _hourly("redis", machine))


def _endpoint(_: Document, body: Document) -> Iterator[Cost]:
    if body.get("vpc_endpoint_type") == "Interface":
        yield Cost("interface endpoint", len(body["subnet_ids"]), _hourly("endpoint"))


def _nodes(document: Document, group: Document) -> Iterator[Cost]:
    """Yield nodes and their disks, which a launch template may describe."""
    template: Document = {}
    if "launch_template" in group:
        named = re.search(r"aws_launch_template\.([\w-]+)", str(group["launch_template"]))
        assert named is not None, group
        template = document["resource"]["aws_launch_template"][named[1]]
    count = _first(group["scaling_config"])["desired_size"]
    (machine,) = group.get("instance_types") or [template["instance_type"]]
    yield Cost(f"node {machine}", count, _hourly("node", machine))
    gib = group.get("disk_size") or _first(_first(template["block_device_mappings"])["ebs"])["volume_size"]
    yield Cost("node disk, GiB", count * gib, PRICES["month"]["volume_gib"])


def _first(block: Any) -> Mapping[str, Any]:
    """Return a block that stands alone, which Terraform takes as a list, too."""
    found: Mapping[str, Any] = block[0] if isinstance(block, list) else block
    return found


def _hourly(*path: str) -> float:
    price = PRICES["hour"]
    for name in path:
        price = price[name]
    return float(price) * float(PRICES["hours"])


def _added(found: list[Cost]) -> list[Cost]:
    """Return the parts, those of one kind added up."""
    kinds = dict.fromkeys((cost.what, cost.each) for cost in found)
    return [
        Cost(what, sum(cost.amount for cost in found if (cost.what, cost.each) == (what, each)), each)
        for what, each in kinds
    ]


_SIMPLE = {
    "aws_eks_cluster": ("EKS control plane", _hourly("cluster")),
    "aws_eip": ("public IPv4 address", _hourly("public_address")),
    "aws_kms_key": ("KMS key", float(PRICES["month"]["key"])),
    "aws_nat_gateway": ("NAT gateway", _hourly("nat_gateway")),
    "aws_secretsmanager_secret": ("secret", float(PRICES["month"]["secret"])),
}
_COMPOSED: dict[str, Callable[[Document, Document], Iterator[Cost]]] = {
    "aws_db_instance": _database,
    "aws_eks_node_group": _nodes,
    "aws_elasticache_replication_group": _redis,
    "aws_vpc_endpoint": _endpoint,
}
