"""What EKS makes beside what a stack asks for: instances and interfaces of node groups, a cluster's security
group and interfaces, and a log group that comes back.

Sources: interfaces of the CNI and their tags, https://github.com/aws/amazon-vpc-cni-k8s (``awsutils``); that
some stay when their node ends, issues 608 and 1223 there; the security group,
https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html; the log group,
https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2486.
"""

from typing import Any

from beta9_simulator.cloud.interfaces import (
    add_group,
    add_interface,
    interfaces_of,
    seconds_left,
    try_to_delete,
)
from beta9_simulator.cloud.rules import values_at
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.templates import random_text

INSTANCE = "ec2:instance"
TERMINATED_SECONDS = 3600.0
"""For about an hour EC2 shows a terminated instance."""
LEAKED = "leaked_interfaces"
"""The setting that says how many interfaces of the CNI stay of each node group; 1 unless set."""
_LOG_GROUP = "aws_cloudwatch_log_group"
State = dict[str, Any]


def cluster_created(store: Store, made: StoredObject, _config: State) -> None:
    """Make the cluster's security group, and its control plane's interfaces in its subnets."""
    vpc = made.state["vpc_config"][0]
    name = f"eks-cluster-sg-{made.name}-{random_text('digits', 9)}"
    group = add_group(
        store,
        made,
        vpc["cluster_security_group_id"],
        name=name,
        description="EKS created security group applied to ENI that is attached to EKS Control Plane master "
        "nodes, as well as any managed workloads.",
        vpc_id=vpc["vpc_id"],
        tags={
            "Name": name,
            "aws:eks:cluster-name": made.name,
            f"kubernetes.io/cluster/{made.name}": "owned",
        },
    )
    groups = [group.id, *(vpc["security_group_ids"] or [])]
    for subnet_id in vpc["subnet_ids"]:
        add_interface(store, made, subnet_id, groups, description=f"Amazon EKS {made.name}")


def cluster_deleted(store: Store, gone: StoredObject) -> None:
    """Take away what EKS made, but for a security group that somebody else's interface still has."""
    seconds = seconds_left(store, gone)
    own = interfaces_of(store, gone)
    for interface in own:
        store.delete(interface, seconds)
        # EKS deletes them before the group, which they must not hold while both are on their way.
        store.edit(interface, groups=[])
    for group_id in values_at(gone.state, "vpc_config.cluster_security_group_id"):
        found = store.find("aws_security_group", account=gone.account, region=gone.region, id=group_id)
        try_to_delete(store, found, seconds)


def node_group_created(store: Store, made: StoredObject, _config: State) -> None:
    """Start the group's instances, each with an interface of its own and one of the CNI."""
    cluster = _cluster(store, made)
    if cluster is None:
        return
    groups = _groups(store, made) or [cluster.state["vpc_config"][0]["cluster_security_group_id"]]
    for number, node in enumerate(node_names(made)):
        subnet_id = made.state["subnet_ids"][number % len(made.state["subnet_ids"])]
        _start_instance(store, made, node, subnet_id, groups)


def node_group_deleted(store: Store, gone: StoredObject) -> None:
    """Terminate the instances; interfaces of the CNI that it could not delete in time stay."""
    seconds = seconds_left(store, gone)
    # Where the CNI did not work, it made no interface that could stay.
    leaked = 0 if gone.state.get("failed") else int(store.setting(LEAKED, "1"))
    for instance in _instances(store, gone):
        for interface in interfaces_of(store, instance):
            if not interface.state["managed"] and leaked:
                leaked -= 1
                store.edit(interface, status="available", instance_id="")
            else:
                store.delete(interface, seconds)
        store.delete(instance, seconds)


def log_group_deleted(store: Store, gone: StoredObject) -> None:
    """Late logs of a cluster make its log group again: whenever there is the cluster, and once after it."""
    service, _, name = gone.name.removesuffix("/cluster").rpartition("/")
    if service != "/aws/eks" or not gone.name.endswith("/cluster"):
        return
    clusters = store.find("aws_eks_cluster", account=gone.account, region=gone.region, name=name)
    if not clusters and gone.origin != "aws":
        clusters = store.gone(
            "aws_eks_cluster", account=gone.account, region=gone.region, within=TERMINATED_SECONDS
        )
    if any(one.name == name and one.state.get("enabled_cluster_log_types") for one in clusters):
        state = {**gone.state, "retention_in_days": 0, "tags": {}, "tags_all": {}}
        again = NewObject(gone.account, gone.region, _LOG_GROUP, gone.id, gone.name, state, "", "aws")
        store.create(again, replace=True)


def node_names(group: StoredObject) -> list[str]:
    """Return the names of a group's nodes, which are the private names of its instances."""
    first = int(group.uid[:6], 16)
    count = int(group.state["scaling_config"][0]["desired_size"])
    return [_node_name(first + number, group.region) for number in range(count)]


def _node_name(number: int, region: str) -> str:
    octets = "-".join(str(byte) for byte in (number % (1 << 24)).to_bytes(3, "big"))
    return f"ip-10-{octets}.{region}.compute.internal"


def _start_instance(
    store: Store, group: StoredObject, node: str, subnet_id: str, security_groups: list[str]
) -> None:
    id, cluster = f"i-{random_text('hex', 17)}", group.state["cluster_name"]
    tags = {
        "aws:autoscaling:groupName": group.state["resources"][0]["autoscaling_groups"][0]["name"],
        "eks:cluster-name": cluster,
        "eks:nodegroup-name": group.name,
        "k8s.io/cluster-autoscaler/enabled": "true",
        f"k8s.io/cluster-autoscaler/{cluster}": "owned",
        f"kubernetes.io/cluster/{cluster}": "owned",
    }
    state = {
        "id": id,
        "arn": f"arn:aws:ec2:{group.region}:{group.account}:instance/{id}",
        "node_group": group.id,
        "instance_type": group.state["instance_types"][0],
        "private_dns_name": node,
        "subnet_id": subnet_id,
        "tags": tags,
    }
    new = NewObject(group.account, group.region, INSTANCE, id, node, state, group.creator, "aws")
    instance = store.create(new)
    add_interface(store, instance, subnet_id, security_groups, description="", instance_id=id)
    own = {
        "cluster.k8s.amazonaws.com/name": cluster,
        "eks:eni:owner": "amazon-vpc-cni",
        "node.k8s.amazonaws.com/instance_id": id,
    }
    add_interface(
        store,
        instance,
        subnet_id,
        security_groups,
        description=f"aws-K8S-{id}",
        tags=own,
        instance_id=id,
        managed=False,
    )


def _groups(store: Store, made: StoredObject) -> list[str]:
    """The security groups that a launch template names: EKS then adds its own to no instance.

    "Customize managed nodes with launch templates" in the EKS user guide.
    """
    named: list[str] = []
    for template in made.state["launch_template"]:
        for found in store.find(
            "aws_launch_template", account=made.account, region=made.region, id=template["id"]
        ):
            named += found.state.get("vpc_security_group_ids") or []
    return named


def machines(store: Store, group: StoredObject) -> list[tuple[str, str, str]]:
    """Return name of the node, id and zone of each instance of a group."""
    subnets = {
        one.id: one.state["availability_zone"]
        for one in store.find("aws_subnet", account=group.account, region=group.region)
    }
    found = {one.name: one for one in _instances(store, group)}
    return [
        (name, one.id if one else "", subnets.get(one.state["subnet_id"], "") if one else "")
        for name in node_names(group)
        for one in [found.get(name)]
    ]


def _instances(store: Store, group: StoredObject) -> list[StoredObject]:
    found = store.find(INSTANCE, account=group.account, region=group.region)
    return [one for one in found if one.state["node_group"] == group.id and one.status != "deleting"]


def _cluster(store: Store, group: StoredObject) -> StoredObject | None:
    name = group.state["cluster_name"]
    found = store.find("aws_eks_cluster", account=group.account, region=group.region, name=name)
    return found[0] if found else None
