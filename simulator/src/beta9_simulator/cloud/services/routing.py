"""EC2: routes, what belongs to which table, the rules of security groups, and the end of a NAT gateway."""

from dataclasses import replace
from typing import Any

from beta9_simulator.cloud import deleting
from beta9_simulator.cloud.network_rules import ranges
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list
from beta9_simulator.cloud.store import StoredObject

_PAGE = 1000
_MAIN = "ec2:main-route-table"
_TARGETS = {
    "GatewayId": "gateway_id",
    "NatGatewayId": "nat_gateway_id",
    "TransitGatewayId": "transit_gateway_id",
    "NetworkInterfaceId": "network_interface_id",
    "VpcPeeringConnectionId": "vpc_peering_connection_id",
    "CoreNetworkArn": "core_network_arn",
    "LocalGatewayId": "local_gateway_id",
}
_RULES = {"aws_vpc_security_group_ingress_rule": False, "aws_vpc_security_group_egress_rule": True}
State = dict[str, Any]


def routing(request: Request, table: StoredObject) -> State:
    """Return the part of a route table's entry that other objects say."""
    own = {"RouteTableId": table.id}
    routes = [
        {
            "DestinationCidrBlock": route.state["destination_cidr_block"],
            **{key: route.state.get(attribute) or None for key, attribute in _TARGETS.items()},
            "Origin": "CreateRoute",
            "State": "active" if _is_there(request, route) else "blackhole",
        }
        for route in request.find("aws_route")
        if route.state["route_table_id"] == table.id
    ]
    local = {"GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"}
    vpcs = request.find("aws_vpc", id=table.state["vpc_id"])
    routes += [{"DestinationCidrBlock": str(cidr), **local} for vpc in vpcs for cidr in ranges(vpc)]
    associations = [
        {**own, "RouteTableAssociationId": one.id, "SubnetId": one.state["subnet_id"] or None, "Main": False}
        for one in request.find("aws_route_table_association")
        if one.state["route_table_id"] == table.id
    ]
    if table.type == _MAIN:
        associations.append({**own, "RouteTableAssociationId": f"rtbassoc-{table.id[4:]}", "Main": True})
    return {
        "Routes": [{key: value for key, value in route.items() if value} for route in routes],
        "Associations": associations,
    }


def main_tables(request: Request) -> list[StoredObject]:
    """Return the main route table of each VPC, which comes with it and which nobody's stack has."""
    return [
        replace(vpc, type=_MAIN, id=str(id_), name="", state={"vpc_id": vpc.id}, tags={})
        for vpc in request.find("aws_vpc")
        if (id_ := vpc.state.get("main_route_table_id"))
    ]


def _is_there(request: Request, route: StoredObject) -> bool:
    """Whether the target of a route still exists; of kinds that this cloud does not have it is believed."""
    for attribute, type_ in (("gateway_id", "aws_internet_gateway"), ("nat_gateway_id", "aws_nat_gateway")):
        id_ = str(route.state[attribute] or "")
        if id_.startswith(("igw-", "nat-")) and not request.find(type_, id=id_):
            return False
    return True


def _describe_security_group_rules(request: Request) -> State:
    groups = None
    for wanted in request.params.get("Filters") or []:
        if wanted["Name"] != "group-id":
            raise CloudError("InvalidParameterValue", f"The filter '{wanted['Name']}' is invalid")
        groups = wanted["Values"]
    found = [
        (one, is_egress)
        for type_, is_egress in _RULES.items()
        for one in request.find(type_)
        if groups is None or one.state["security_group_id"] in groups
    ]
    size = int(request.params.get("MaxResults") or _PAGE)
    items, token = page(found, size, request.params.get("NextToken"))
    return {"SecurityGroupRules": [_rule(*item) for item in items], "NextToken": token}


def _rule(found: StoredObject, is_egress: bool) -> State:
    state = found.state
    referenced = state["referenced_security_group_id"]
    return {
        "SecurityGroupRuleId": found.id,
        "GroupId": state["security_group_id"],
        "GroupOwnerId": found.account,
        "IsEgress": is_egress,
        "IpProtocol": state["ip_protocol"],
        "FromPort": -1 if state["from_port"] is None else state["from_port"],
        "ToPort": -1 if state["to_port"] is None else state["to_port"],
        "Tags": tag_list(found.tags),
        **({"ReferencedGroupInfo": {"GroupId": referenced}} if referenced else {}),
        **({"CidrIpv4": state["cidr_ipv4"]} if state["cidr_ipv4"] else {}),
    }


def _delete_nat_gateway(request: Request) -> State:
    id_ = request.params["NatGatewayId"]
    found = request.find("aws_nat_gateway", id=id_)
    if not found:
        raise CloudError("NatGatewayNotFound", f"The Nat Gateway {id_} was not found")
    deleting.delete(request.store, found[0])
    return {"NatGatewayId": id_}


HANDLERS: dict[str, Handler] = {
    "DescribeSecurityGroupRules": _describe_security_group_rules,
    "DeleteNatGateway": _delete_nat_gateway,
}
