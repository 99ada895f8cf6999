"""Elastic Kubernetes Service: clusters and their node groups, to read; the rest is in `eks_parts`."""

import time
import uuid
from typing import Any

from beta9_simulator.cloud.reading import current
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services import eks_parts
from beta9_simulator.cloud.services.request import Handler, Request, page, when
from beta9_simulator.cloud.store import StoredObject

_PAGE = 100
_UPDATE_SECONDS = 10.0


def _cluster(request: Request) -> StoredObject:
    name = request.params["name"] if "name" in request.params else request.params["clusterName"]
    found = request.find("aws_eks_cluster", name=name)
    if not found:
        raise CloudError("ResourceNotFoundException", f"No cluster found for name: {name}.")
    return found[0]


def _describe_cluster(request: Request) -> dict[str, Any]:
    found = _cluster(request)
    state = current(found)
    vpc = state["vpc_config"][0]
    access = (state["access_config"] or [{}])[0]
    cluster = {
        "name": found.name,
        "arn": state["arn"],
        "createdAt": when(found.created_at),
        "version": state["version"],
        "roleArn": state["role_arn"],
        "status": "FAILED" if state.get("failed") else state["status"],
        "tags": found.tags,
        "deletionProtection": bool(state["deletion_protection"]),
        "identity": {"oidc": {"issuer": state["identity"][0]["oidc"][0]["issuer"]}},
        "accessConfig": {"authenticationMode": access.get("authentication_mode") or "CONFIG_MAP"},
        "resourcesVpcConfig": {
            "subnetIds": vpc["subnet_ids"],
            "securityGroupIds": vpc["security_group_ids"] or [],
            "clusterSecurityGroupId": vpc["cluster_security_group_id"],
            "vpcId": vpc["vpc_id"],
            "endpointPublicAccess": vpc["endpoint_public_access"],
            "endpointPrivateAccess": vpc["endpoint_private_access"],
            "publicAccessCidrs": (vpc["public_access_cidrs"] or ["0.0.0.0/0"])
            if vpc["endpoint_public_access"]
            else [],
        },
    }
    if state["endpoint"]:
        cluster["endpoint"] = state["endpoint"]
        cluster["platformVersion"] = state["platform_version"]
        cluster["certificateAuthority"] = {"data": state["certificate_authority"][0]["data"]}
    return {"cluster": cluster}


def _list_clusters(request: Request) -> dict[str, Any]:
    names = [found.name for found in request.find("aws_eks_cluster")]
    return _listed("clusters", names, request)


def _node_groups(request: Request) -> list[StoredObject]:
    cluster = _cluster(request).name
    return [group for group in request.find("aws_eks_node_group") if group.state["cluster_name"] == cluster]


def _list_nodegroups(request: Request) -> dict[str, Any]:
    return _listed("nodegroups", [group.name for group in _node_groups(request)], request)


def _listed(key: str, names: list[str], request: Request) -> dict[str, Any]:
    size = int(request.params.get("maxResults") or _PAGE)
    items, token = page(names, size, request.params.get("nextToken"))
    return {key: items, "nextToken": token}


def _describe_nodegroup(request: Request) -> dict[str, Any]:
    name = request.params["nodegroupName"]
    found = next((group for group in _node_groups(request) if group.name == name), None)
    if found is None:
        raise CloudError("ResourceNotFoundException", f"No node group found for name: {name}.")
    state = current(found)
    scaling = state["scaling_config"][0]
    return {
        "nodegroup": {
            "nodegroupName": name,
            "nodegroupArn": state["arn"],
            "clusterName": state["cluster_name"],
            "version": state["version"],
            "createdAt": when(found.created_at),
            "status": eks_parts.status(found),
            "capacityType": state["capacity_type"],
            "instanceTypes": state["instance_types"],
            "amiType": state["ami_type"],
            "diskSize": state["disk_size"],
            "nodeRole": state["node_role_arn"],
            "subnets": state["subnet_ids"],
            "labels": state["labels"] or {},
            "taints": [
                {key: taint[key] for key in ("key", "value", "effect") if taint[key]}
                for taint in state["taint"]
            ],
            "scalingConfig": {
                "minSize": scaling["min_size"],
                "maxSize": scaling["max_size"],
                "desiredSize": scaling["desired_size"],
            },
            "health": {"issues": []},
            "tags": found.tags,
        }
    }


def _update_cluster_config(request: Request) -> dict[str, Any]:
    """Change the deletion protection of a cluster that is active; nothing else is changed at this door."""
    found = _cluster(request)
    if found.status != "available":
        raise CloudError(
            "ResourceInUseException",
            f"Cannot DeletionProtectionUpdate because cluster {found.name} currently has status "
            f"{current(found)['status']}",
        )
    wanted = request.params.get("deletionProtection")
    if wanted is None:
        raise CloudError("UnsupportedOperation", "The simulated cloud changes deletionProtection only")
    update = {"id": str(uuid.uuid4()), "value": str(wanted).lower(), "at": time.time()}
    request.store.edit(found, deletion_protection=wanted, last_update=update)
    return {"update": _update(request, update)}


def _describe_update(request: Request) -> dict[str, Any]:
    update, id_ = _cluster(request).state.get("last_update"), request.params["updateId"]
    if not update or update["id"] != id_:
        raise CloudError("ResourceNotFoundException", f"No update found for ID: {id_}.")
    return {"update": _update(request, update)}


def _update(request: Request, update: dict[str, Any]) -> dict[str, Any]:
    lasts = request.store.lasting("cluster_update", _UPDATE_SECONDS)
    return {
        "id": update["id"],
        "status": "InProgress" if time.time() < update["at"] + lasts else "Successful",
        "type": "DeletionProtectionUpdate",
        "params": [{"type": "DeletionProtection", "value": update["value"]}],
        "createdAt": when(update["at"]),
        "errors": [],
    }


HANDLERS: dict[str, Handler] = {
    **eks_parts.HANDLERS,
    "DescribeUpdate": _describe_update,
    "UpdateClusterConfig": _update_cluster_config,
    "DescribeCluster": _describe_cluster,
    "ListClusters": _list_clusters,
    "DescribeNodegroup": _describe_nodegroup,
    "ListNodegroups": _list_nodegroups,
}
