"""Elastic Load Balancing, both APIs of one signing name: network load balancers; classic ones never exist."""

from typing import Any

from beta9_simulator.cloud.controllers import LOAD_BALANCER, TARGET_GROUP, delete_load_balancer
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list, when
from beta9_simulator.cloud.store import StoredObject

_PAGE = 400
_MOST_TAGGED = 20
State = dict[str, Any]


def _describe_load_balancers(request: Request) -> State:
    return _described(request, LOAD_BALANCER, "LoadBalancers", _load_balancer)


def _load_balancer(found: StoredObject) -> State:
    state = found.state
    return {
        "LoadBalancerArn": found.id,
        "LoadBalancerName": found.name,
        "DNSName": state["dns_name"],
        "Scheme": state["scheme"],
        "VpcId": state["vpc_id"],
        "Type": "network",
        "State": {"Code": "active"},
        "SecurityGroups": state["groups"],
        "AvailabilityZones": [{"SubnetId": id} for id in state["subnet_ids"]],
        "CreatedTime": when(found.created_at),
    }


def _describe_target_groups(request: Request) -> State:
    return _described(request, TARGET_GROUP, "TargetGroups", _target_group)


def _target_group(found: StoredObject) -> State:
    return {
        "TargetGroupArn": found.id,
        "TargetGroupName": found.name,
        "Port": found.state["port"],
        "Protocol": "TCP",
        "VpcId": found.state["vpc_id"],
        "LoadBalancerArns": [found.state["load_balancer"]],
    }


def _described(request: Request, type: str, key: str, entry: Any) -> State:
    found = [entry(one) for one in request.find(type)]
    items, marker = page(found, int(request.params.get("PageSize") or _PAGE), request.params.get("Marker"))
    return {key: items, "NextMarker": marker}


def _describe_tags(request: Request) -> State:
    arns = request.params["ResourceArns"]
    if len(arns) > _MOST_TAGGED:
        raise CloudError("ValidationError", f"A maximum of {_MOST_TAGGED} resource arns can be described")
    found = {one.id: one for type in (LOAD_BALANCER, TARGET_GROUP) for one in request.find(type)}
    for arn in arns:
        if arn not in found:
            code = "TargetGroupNotFound" if ":targetgroup/" in arn else "LoadBalancerNotFound"
            raise CloudError(code, f"One or more resources not found: '{arn}'")
    return {"TagDescriptions": [{"ResourceArn": arn, "Tags": tag_list(found[arn].tags)} for arn in arns]}


def _delete_load_balancer(request: Request) -> State:
    # Deleting what is not there succeeds, says the API's reference.
    for found in request.find(LOAD_BALANCER, id=request.params["LoadBalancerArn"]):
        delete_load_balancer(request.store, found)
    return {}


def _delete_target_group(request: Request) -> State:
    arn = request.params["TargetGroupArn"]
    for found in request.find(TARGET_GROUP, id=arn):
        if request.find(LOAD_BALANCER, id=found.state["load_balancer"]):
            raise CloudError(
                "ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule"
            )
        request.store.delete(found)
    return {}


def _no_classic_ones(_request: Request) -> State:
    return {"LoadBalancerDescriptions": []}


V2: dict[str, Handler] = {
    "DescribeLoadBalancers": _describe_load_balancers,
    "DescribeTargetGroups": _describe_target_groups,
    "DescribeTags": _describe_tags,
    "DeleteLoadBalancer": _delete_load_balancer,
    "DeleteTargetGroup": _delete_target_group,
}
CLASSIC: dict[str, Handler] = {"DescribeLoadBalancers": _no_classic_ones}
