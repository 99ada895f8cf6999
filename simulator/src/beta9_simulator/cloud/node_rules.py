"""What EKS refuses of a node group, and why nodes that it starts do not join their cluster."""

import re
from typing import Any

from beta9_simulator.cloud import addresses
from beta9_simulator.cloud.eks_rules import VERSIONS
from beta9_simulator.cloud.iam_rules import policies_of
from beta9_simulator.cloud.network_rules import subnets_of, way_out
from beta9_simulator.cloud.offerings import offered
from beta9_simulator.cloud.quotas import instances_over
from beta9_simulator.cloud.rules import CloudError, values_at
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.zones import zones_of

State = dict[str, Any]
_RESERVED = ("kubernetes.io/", "k8s.io/", "eks.amazonaws.com/")
# Of each patch release of Kubernetes there are several; made up, in the form of awslabs/amazon-eks-ami.
_RELEASE = re.compile(r"(1\.\d+)\.\d+-20\d{6}")
_CNI_POLICY = "AmazonEKS_CNI_Policy"


def node_group(store: Store, new: NewObject) -> None:
    """Refuse reserved labels, sizes said in two places, and versions that do not go with the cluster's."""
    labels = new.state["labels"] or {}
    if any(_is_reserved(key) for key in labels):
        raise CloudError(
            "InvalidParameterException", f"Label cannot contain reserved prefixes [{', '.join(_RESERVED)}]"
        )
    for taint in new.state["taint"]:
        if _is_reserved(taint["key"]):
            raise CloudError(
                "InvalidParameterException",
                f"Taint cannot contain reserved prefixes [{', '.join(_RESERVED)}]",
            )
    _check_template(store, new)
    clusters = store.find(
        "aws_eks_cluster", account=new.account, region=new.region, name=new.state["cluster_name"]
    )
    _check_subnets(store, new, clusters[0])
    cluster, own = str(clusters[0].state["version"]), str(new.state["version"])
    if own not in VERSIONS or VERSIONS.index(own) > VERSIONS.index(cluster):
        raise CloudError(
            "InvalidParameterException",
            f"Requested Nodegroup version {own} is not supported with cluster version {cluster}",
        )
    release = _RELEASE.fullmatch(str(new.state["release_version"]))
    if release is None or release[1] != own:
        raise CloudError(
            "InvalidParameterException",
            f"Requested release version {new.state['release_version']} is not valid for kubernetes version "
            f"{own}.",
        )


def _check_subnets(store: Store, new: NewObject, cluster: StoredObject) -> None:
    for vpc_id in values_at(cluster.state, "vpc_config.vpc_id"):
        for subnet in subnets_of(store, new.account, new.region, new.state["subnet_ids"] or ()):
            if subnet.state["vpc_id"] != vpc_id:
                raise CloudError(
                    "InvalidParameterException", f"Specified subnets must belong to cluster's vpc {vpc_id}"
                )


def recommended_release(version: str) -> str:
    """Return the release of the AMI that a node group gets which asks for none."""
    return f"{version}.2-20261113"


def _is_reserved(key: str) -> bool:
    prefix = f"{key.rpartition('/')[0]}/"
    return any(prefix == reserved or prefix.endswith(f".{reserved}") for reserved in _RESERVED)


def _check_template(store: Store, new: NewObject) -> None:
    for template in new.state["launch_template"]:
        found = store.find("aws_launch_template", account=new.account, region=new.region, id=template["id"])
        if not found:
            raise CloudError(
                "InvalidRequestException", f"Couldn't describe launch template with id {template['id']}"
            )
        if found[0].state["block_device_mappings"] and new.state["disk_size"] not in (None, 20):
            raise CloudError(
                "InvalidParameterException", "Disk size must be specified within the launch template."
            )


def failure(store: Store, made: StoredObject) -> str:
    """Return the health issue with which EKS gives a node group up; empty when its nodes join."""
    state = made.state
    zones = {zone.name: zone.id for zone in zones_of(made.account, made.region)}
    for id_ in state["subnet_ids"]:
        for subnet in store.find("aws_subnet", account=made.account, region=made.region, id=id_):
            name = subnet.state["availability_zone"]
            for type_ in state["instance_types"]:
                if not offered(store, made.account, zones[name], type_):
                    return (
                        "AsgInstanceLaunchFailures: Could not launch On-Demand Instances. Unsupported - Your "
                        f"requested instance type ({type_}) is not supported in your requested Availability "
                        f"Zone ({name}). Launching EC2 instance failed."
                    )
    if over := instances_over(store, made):
        return over
    subnets = subnets_of(store, made.account, made.region, state["subnet_ids"])
    if any(addresses.free(store, subnet) < 0 for subnet in subnets):
        return (
            "InsufficientFreeAddresses: One or more of the subnets associated with your managed node group "
            "does not have enough available IP addresses for new nodes."
        )
    joins = (
        _has_cni(store, made)
        and all(way_out(store, made.account, made.region, id_) for id_ in state["subnet_ids"])
        and all(_has_dns(store, subnet) for subnet in subnets)
    )
    if not joins:
        return "NodeCreationFailure: Instances failed to join the kubernetes cluster"
    return _disk_failure(store, made)


def _has_dns(store: Store, subnet: StoredObject) -> bool:
    """Nodes of a VPC without both DNS attributes do not register ("VPC requirements" in the user guide)."""
    vpcs = store.find("aws_vpc", account=subnet.account, region=subnet.region, id=subnet.state["vpc_id"])
    names = ("enable_dns_support", "enable_dns_hostnames")
    return all(vpc.state.get(name) for vpc in vpcs for name in names)


def _has_cni(store: Store, made: StoredObject) -> bool:
    """Whether the CNI is there and may give pods addresses: by the nodes' role, or by one of its own."""
    mine = [
        item
        for type_ in ("aws_eks_addon", "aws_eks_pod_identity_association")
        for item in store.find(type_, account=made.account, region=made.region)
        if item.state["cluster_name"] == made.state["cluster_name"]
    ]
    add_ons = {item.state["addon_name"]: item for item in mine if item.type == "aws_eks_addon"}
    clusters = store.find(
        "aws_eks_cluster", account=made.account, region=made.region, name=made.state["cluster_name"]
    )
    own = bool(clusters) and clusters[0].state.get("self_managed_add_ons", True)
    if "vpc-cni" not in add_ons and not own:
        return False
    roles = [made.state["node_role_arn"]]
    if "vpc-cni" in add_ons:
        roles.append(add_ons["vpc-cni"].state["service_account_role_arn"])
    if "eks-pod-identity-agent" in add_ons:
        roles += [
            item.state["role_arn"]
            for item in mine
            if item.type == "aws_eks_pod_identity_association"
            and (item.state["namespace"], item.state["service_account"]) == ("kube-system", "aws-node")
        ]
    return any(
        arn.endswith(f":policy/{_CNI_POLICY}")
        for role in roles
        if role
        for arn in policies_of(store, made.account, role)
    )


def _disk_failure(store: Store, made: StoredObject) -> str:
    """A volume under a customer's key needs a grant for the role with which Auto Scaling starts instances."""
    for template in made.state["launch_template"]:
        for found in store.find(
            "aws_launch_template", account=made.account, region=made.region, id=template["id"]
        ):
            for mapping in found.state["block_device_mappings"]:
                for ebs in mapping["ebs"]:
                    if ebs["kms_key_id"] and not _has_grant(store, made, ebs["kms_key_id"]):
                        return (
                            "AsgInstanceLaunchFailures: Instance became unhealthy while waiting for instance "
                            "to be in InService state. Termination Reason: "
                            "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state"
                        )
    return ""


def _has_grant(store: Store, made: StoredObject, key: str) -> bool:
    role = "/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    return any(
        grant.state["key_id"] in (key, key.rsplit("/", maxsplit=1)[-1])
        and str(grant.state["grantee_principal"]).endswith(role)
        for grant in store.find("aws_kms_grant", account=made.account, region=made.region)
    )
