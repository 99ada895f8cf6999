"""What EKS refuses of a cluster and its add-ons: subnets, versions, updates that skip one, configurations."""

import json
import re
from ipaddress import IPv4Network
from typing import Any

from beta9_simulator.cloud import addresses, network_rules
from beta9_simulator.cloud.rules import CloudError, values_at
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.zones import zones_of

State = dict[str, Any]
# Zones in which EKS makes no control plane: "Subnet requirements and considerations" in its user guide.
WITHOUT_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
# Versions in standard or extended support in November 2026: "Understand the Kubernetes version lifecycle
# on EKS" in its user guide.
VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36")
# Releases of the add-ons, as DescribeAddonVersions told them in 2026; all run on 1.34 and later, and
# kube-proxy on no cluster older than itself.
_ADD_ONS: dict[str, frozenset[str]] = {
    "vpc-cni": frozenset(
        {"v1.20.4-eksbuild.2", "v1.21.1-eksbuild.3", "v1.21.1-eksbuild.8", "v1.22.3-eksbuild.1"}
    ),
    "coredns": frozenset(
        {"v1.12.4-eksbuild.1", "v1.13.2-eksbuild.4", "v1.14.2-eksbuild.4", "v1.14.3-eksbuild.3"}
    ),
    "kube-proxy": frozenset(
        {"v1.34.0-eksbuild.2", "v1.35.0-eksbuild.2", "v1.35.3-eksbuild.5", "v1.35.3-eksbuild.13"}
    ),
    "eks-pod-identity-agent": frozenset({"v1.3.10-eksbuild.2", "v1.3.10-eksbuild.3"}),
    "aws-ebs-csi-driver": frozenset({"v1.57.1-eksbuild.1", "v1.59.0-eksbuild.1", "v1.63.1-eksbuild.1"}),
}
_PLACING = {"affinity": dict, "nodeSelector": dict, "tolerations": list, "resources": dict}
# The top of each add-on's schema of configuration values, as DescribeAddonConfiguration tells it.
_SCHEMAS: dict[str, dict[str, type]] = {
    "vpc-cni": {
        **_PLACING,
        "enableNetworkPolicy": str,
        "enableWindowsIpam": str,
        "env": dict,
        "init": dict,
        "livenessProbeTimeoutSeconds": int,
        "nodeAgent": dict,
        "podAnnotations": dict,
        "podLabels": dict,
        "readinessProbeTimeoutSeconds": int,
    },
    "coredns": {
        **_PLACING,
        "autoScaling": dict,
        "computeType": str,
        "corefile": str,
        "podAnnotations": dict,
        "podDisruptionBudget": dict,
        "podLabels": dict,
        "replicaCount": int,
        "topologySpreadConstraints": list,
    },
    "kube-proxy": {"ipvs": dict, "mode": str, "podAnnotations": dict, "podLabels": dict, "resources": dict},
    "eks-pod-identity-agent": {**_PLACING, "agent": dict, "daemonSets": dict, "priorityClassName": str},
    "aws-ebs-csi-driver": {
        "controller": dict,
        "defaultStorageClass": dict,
        "node": dict,
        "sidecars": dict,
        "useOldCSIDriver": bool,
    },
}
_LEAST_FREE = 6
_NOT_SUPPORTED = "ConfigurationValue provided in request is not supported"


def cluster(store: Store, new: NewObject) -> None:
    """Refuse a zone without EKS, subnets that do not do, a version that is over, and bad ranges."""
    version = new.state["version"]
    if version and version not in VERSIONS:
        raise CloudError("InvalidParameterException", "unsupported Kubernetes version")
    names = {zone.name: zone.id for zone in zones_of(new.account, new.region)}
    subnets = network_rules.subnets_of(
        store, new.account, new.region, values_at(new.state, "vpc_config.subnet_ids")
    )
    network_rules.one_network(subnets, "InvalidParameterException")
    zones = {subnet.state["availability_zone"] for subnet in subnets}
    for zone in sorted(zones):
        if names.get(zone) in WITHOUT_EKS:
            rest = ", ".join(name for name, id_ in names.items() if id_ not in WITHOUT_EKS)
            raise CloudError(
                "UnsupportedAvailabilityZoneException",
                f"Cannot create cluster '{new.name}' because {zone}, the targeted availability zone, does "
                "not currently have sufficient capacity to support the cluster. Retry and choose from these "
                f"availability zones: {rest}",
            )
    if len(zones) < 2:
        raise CloudError(
            "InvalidParameterException", "Subnets specified must be in at least two different AZs"
        )
    _free(store, subnets)
    _services(store, new, subnets)
    _access(new.state)


def _free(store: Store, subnets: list[StoredObject]) -> None:
    """Six free addresses in each subnet: "Subnet requirements for clusters" in the user guide."""
    for subnet in subnets:
        if addresses.free(store, subnet) < _LEAST_FREE:
            raise CloudError(
                "InvalidParameterException",
                f"InsufficientFreeAddresses: the subnet {subnet.id} does not have enough available IP "
                "addresses for Amazon EKS to perform cluster management operations",
            )


def _services(store: Store, new: NewObject, subnets: list[StoredObject]) -> None:
    """The range of Services overlaps none of the VPC (KubernetesNetworkConfigRequest, API reference)."""
    for vpc_id in {subnet.state["vpc_id"] for subnet in subnets}:
        for vpc in store.find("aws_vpc", account=new.account, region=new.region, id=vpc_id):
            for cidr in values_at(new.state, "kubernetes_network_config.service_ipv4_cidr"):
                if any(IPv4Network(cidr).overlaps(range_) for range_ in network_rules.ranges(vpc)):
                    raise CloudError(
                        "InvalidParameterException",
                        f"The specified service CIDR {cidr} overlaps a CIDR block of the VPC {vpc_id}",
                    )


def cluster_update(_store: Store, found: StoredObject, state: State) -> None:
    """Refuse to skip a minor version, or to go back."""
    _access(state)
    before, after = found.state["version"], state["version"]
    if not after or before == after:
        return
    if after not in VERSIONS:
        raise CloudError("InvalidParameterException", "unsupported Kubernetes version")
    if _minor(after) != _minor(before) + 1:
        raise CloudError(
            "InvalidParameterException",
            f"Unsupported Kubernetes minor version update from {before} to {after}",
        )


def has_entries(cluster: State) -> bool:
    """Whether access entries count in a cluster, by its authentication mode."""
    access = (cluster["access_config"] or [{}])[0]
    return access.get("authentication_mode") in ("API", "API_AND_CONFIG_MAP")


def _access(state: State) -> None:
    for vpc in state["vpc_config"]:
        if not vpc["endpoint_public_access"] and not vpc["endpoint_private_access"]:
            raise CloudError(
                "InvalidParameterException", "Private and public endpoint access cannot be false"
            )
        for cidr in vpc["public_access_cidrs"] or ():
            if re.match(r"(10|127|192\.168|169\.254)\.|172\.(1[6-9]|2\d|3[01])\.", cidr):
                raise CloudError(
                    "InvalidParameterException",
                    f"The following CIDRs are invalid in publicAccessCidrs: [{cidr}]",
                )


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def add_on_version(_store: Store, _scope: object, state: State) -> State:
    """The version that EKS takes for an add-on when none is asked for."""
    known = _ADD_ONS.get(state["addon_name"], frozenset())
    return {"addon_version": min(known, default="v1.0.0-eksbuild.1")}


def add_on(store: Store, new: NewObject) -> None:
    """Refuse an add-on, a version of it or a configuration that EKS does not have."""
    clusters = store.find(
        "aws_eks_cluster", account=new.account, region=new.region, name=new.state["cluster_name"]
    )
    _check_add_on(new.state, str(clusters[0].state["version"]))


def add_on_update(store: Store, found: StoredObject, state: State) -> None:
    """Refuse a version or a configuration that EKS does not have."""
    clusters = store.find(
        "aws_eks_cluster", account=found.account, region=found.region, name=state["cluster_name"]
    )
    _check_add_on(state, str(clusters[0].state["version"]))


def _check_add_on(state: State, kubernetes: str) -> None:
    name, version = state["addon_name"], state["addon_version"]
    if name not in _ADD_ONS:
        raise CloudError("InvalidParameterException", f"Addon {name} specified is not supported")
    fits = version in _ADD_ONS[name] and (
        name != "kube-proxy" or _minor(str(version)[1:]) <= _minor(kubernetes)
    )
    if version and not fits:
        raise CloudError("InvalidParameterException", "Addon version specified is not supported")
    if state["configuration_values"]:
        _check_configuration(name, state["configuration_values"])


def _check_configuration(name: str, text: str) -> None:
    try:
        values = json.loads(text)
    except ValueError:
        raise CloudError(
            "InvalidParameterException", f"{_NOT_SUPPORTED}: configuration is not valid JSON or YAML"
        ) from None
    for key, value in values.items():
        kind = _SCHEMAS[name].get(key)
        if kind is None:
            fault = f"$.{key}: is not defined in the schema and it does not allow additional properties"
        elif not isinstance(value, kind):
            fault = f"$.{key}: {_type_name(type(value))} found, {_type_name(kind)} expected"
        else:
            continue
        raise CloudError(
            "InvalidParameterException",
            f"{_NOT_SUPPORTED}: Json schema validation failed with error: [{fault}]",
        )


def _type_name(kind: type) -> str:
    return {str: "string", int: "integer", bool: "boolean", dict: "object", list: "array"}.get(kind, "null")
