"""EC2: what comes with every network: attributes, and ACLs."""

from typing import Any

from beta9_simulator.cloud.network_acls import acls
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, page

_PAGE = 1000
_ATTRIBUTES = {
    "enableDnsSupport": ("EnableDnsSupport", "enable_dns_support"),
    "enableDnsHostnames": ("EnableDnsHostnames", "enable_dns_hostnames"),
    "enableNetworkAddressUsageMetrics": (
        "EnableNetworkAddressUsageMetrics",
        "enable_network_address_usage_metrics",
    ),
}
State = dict[str, Any]


def _describe_vpc_attribute(request: Request) -> State:
    id_ = request.params["VpcId"]
    found = request.find("aws_vpc", id=id_)
    if not found:
        raise CloudError("InvalidVpcID.NotFound", f"The vpc ID '{id_}' does not exist")
    key, attribute = _ATTRIBUTES[request.params["Attribute"]]
    return {"VpcId": id_, key: {"Value": bool(found[0].state.get(attribute))}}


def _describe_network_acls(request: Request) -> State:
    found = acls(request.store, request.principal.account, request.region)
    for wanted in request.params.get("Filters") or []:
        found = [one for one in found if set(_values(one, wanted["Name"])) & set(wanted["Values"])]
    ids = request.params.get("NetworkAclIds") or []
    if missing := set(ids) - {one["NetworkAclId"] for one in found}:
        raise CloudError("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{min(missing)}' does not exist")
    found = [one for one in found if not ids or one["NetworkAclId"] in ids]
    size = int(request.params.get("MaxResults") or _PAGE)
    items, token = page(found, size, request.params.get("NextToken"))
    return {"NetworkAcls": items, "NextToken": token}


def _values(acl: State, name: str) -> list[str]:
    if name == "vpc-id":
        return [acl["VpcId"]]
    if name == "default":
        return [str(acl["IsDefault"]).lower()]
    if name == "association.subnet-id":
        return [one["SubnetId"] for one in acl["Associations"]]
    raise CloudError("InvalidParameterValue", f"The filter '{name}' is invalid")


HANDLERS: dict[str, Handler] = {
    "DescribeNetworkAcls": _describe_network_acls,
    "DescribeVpcAttribute": _describe_vpc_attribute,
}
