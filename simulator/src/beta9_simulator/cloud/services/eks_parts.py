"""Elastic Kubernetes Service: what hangs on a cluster, to read; and the deletes of all of it."""

from typing import Any

from beta9_simulator.cloud import deleting
from beta9_simulator.cloud.eks_rules import has_entries
from beta9_simulator.cloud.reading import current
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, when
from beta9_simulator.cloud.store import StoredObject

State = dict[str, Any]
_WORDS = {"creating": "CREATING", "updating": "UPDATING", "deleting": "DELETING"}


def status(found: StoredObject) -> str:
    """Return EKS's word for how a part of a cluster is."""
    if found.state.get("failed") and found.status == "available":
        return "CREATE_FAILED"
    return _WORDS.get(found.status, "ACTIVE")


def _one(request: Request, type_: str, noun: str, **wanted: str) -> StoredObject:
    for found in request.find(type_):
        if all(found.state.get(key) == value for key, value in wanted.items()):
            return found
    named = ", ".join(wanted.values())
    raise CloudError("ResourceNotFoundException", f"No {noun} found for: {named}.")


def _add_on(request: Request) -> StoredObject:
    cluster, name = request.params["clusterName"], request.params["addonName"]
    return _one(request, "aws_eks_addon", "addon", cluster_name=cluster, addon_name=name)


def _describe_addon(request: Request) -> State:
    found = _add_on(request)
    state = current(found)
    return {
        "addon": {
            "addonName": state["addon_name"],
            "clusterName": state["cluster_name"],
            "addonArn": state["arn"],
            "addonVersion": state["addon_version"],
            "status": status(found),
            "createdAt": when(found.created_at),
            "health": {"issues": []},
            "tags": found.tags,
        }
    }


def _access_entry(request: Request) -> StoredObject:
    """The entry of a principal; a cluster that knows none by its authentication mode says so."""
    cluster, principal = request.params["clusterName"], request.params["principalArn"]
    if not has_entries(_one(request, "aws_eks_cluster", "cluster", name=cluster).state):
        raise CloudError(
            "InvalidRequestException",
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform "
            "this operation.",
        )
    return _one(
        request, "aws_eks_access_entry", "access entry", cluster_name=cluster, principal_arn=principal
    )


def _list_associated_access_policies(request: Request) -> State:
    entry = _access_entry(request).state
    found = [
        {
            "policyArn": one.state["policy_arn"],
            "accessScope": {
                "type": one.state["access_scope"][0]["type"],
                "namespaces": one.state["access_scope"][0].get("namespaces") or [],
            },
        }
        for one in request.find("aws_eks_access_policy_association")
        if all(one.state[key] == entry[key] for key in ("cluster_name", "principal_arn"))
    ]
    return {
        "clusterName": entry["cluster_name"],
        "principalArn": entry["principal_arn"],
        "associatedAccessPolicies": found,
    }


def _describe_access_entry(request: Request) -> State:
    found = _access_entry(request)
    cluster, principal = request.params["clusterName"], request.params["principalArn"]
    return {
        "accessEntry": {
            "clusterName": cluster,
            "principalArn": principal,
            "accessEntryArn": found.state["access_entry_arn"],
            "type": found.state["type"],
            "tags": found.tags,
        }
    }


def _list_pod_identity_associations(request: Request) -> State:
    cluster = request.params["clusterName"]
    if not request.find("aws_eks_cluster", name=cluster):
        raise CloudError("ResourceNotFoundException", f"No cluster found for name: {cluster}.")
    wanted = {"namespace": "namespace", "serviceAccount": "service_account"}
    found = [
        one
        for one in request.find("aws_eks_pod_identity_association")
        if one.state["cluster_name"] == cluster
        and all(request.params.get(key) in (None, one.state[own]) for key, own in wanted.items())
    ]
    return {
        "associations": [
            {
                "clusterName": cluster,
                "namespace": one.state["namespace"],
                "serviceAccount": one.state["service_account"],
                "associationArn": one.state["association_arn"],
                "associationId": one.state["association_id"],
            }
            for one in found
        ]
    }


def _delete_addon(request: Request) -> State:
    found = _add_on(request)
    deleting.delete(request.store, found)
    return {"addon": {"addonName": found.state["addon_name"], "status": "DELETING"}}


def _delete_nodegroup(request: Request) -> State:
    cluster, name = request.params["clusterName"], request.params["nodegroupName"]
    found = _one(request, "aws_eks_node_group", "node group", cluster_name=cluster, node_group_name=name)
    deleting.delete(request.store, found)
    return {"nodegroup": {"nodegroupName": name, "status": "DELETING"}}


def _delete_cluster(request: Request) -> State:
    found = _one(request, "aws_eks_cluster", "cluster", name=request.params["name"])
    deleting.delete(request.store, found)
    return {"cluster": {"name": found.name, "status": "DELETING"}}


HANDLERS: dict[str, Handler] = {
    "DescribeAddon": _describe_addon,
    "DescribeAccessEntry": _describe_access_entry,
    "ListAssociatedAccessPolicies": _list_associated_access_policies,
    "ListPodIdentityAssociations": _list_pod_identity_associations,
    "DeleteAddon": _delete_addon,
    "DeleteCluster": _delete_cluster,
    "DeleteNodegroup": _delete_nodegroup,
}
