"""Elastic Compute Cloud: the network, to read, with the filters that an inventory uses."""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud import addresses, offerings
from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.controllers import VOLUME
from beta9_simulator.cloud.machines import TERMINATED_SECONDS
from beta9_simulator.cloud.network_rules import ranges
from beta9_simulator.cloud.reading import current
from beta9_simulator.cloud.rules import INTERFACE, CloudError
from beta9_simulator.cloud.services import ec2_entries, ec2_networks, routing
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list, when
from beta9_simulator.cloud.store import StoredObject
from beta9_simulator.cloud.zones import zones_of

_PAGE = 1000
State = dict[str, Any]


@dataclass(frozen=True)
class _Kind:
    """How one kind of object is described: its list, its id, and the rest of its entry."""

    type: str
    list: str
    id: str
    ids: str
    filter: str
    entry: Callable[[StoredObject, State], State]


def _vpc(found: StoredObject, state: State) -> State:
    return {
        "CidrBlock": state["cidr_block"],
        "State": "pending" if found.status == "creating" else "available",
        "OwnerId": found.account,
        "InstanceTenancy": state["instance_tenancy"],
        "IsDefault": False,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": f"vpc-cidr-assoc-{found.id[4:]}{number}",
                "CidrBlock": str(cidr),
                "CidrBlockState": {"State": "associated"},
            }
            for number, cidr in enumerate(ranges(found))
        ],
    }


def _subnet(found: StoredObject, state: State) -> State:
    return {
        "VpcId": state["vpc_id"],
        "CidrBlock": state["cidr_block"],
        "AvailabilityZone": state["availability_zone"],
        "AvailabilityZoneId": state["availability_zone_id"],
        "MapPublicIpOnLaunch": bool(state["map_public_ip_on_launch"]),
        "DefaultForAz": False,
        "Ipv6Native": bool(state.get("ipv6_native")),
        "State": "pending" if found.status == "creating" else "available",
        "SubnetArn": state["arn"],
        "OwnerId": found.account,
        **({"OutpostArn": state["outpost_arn"]} if state.get("outpost_arn") else {}),
    }


def _nat_gateway(found: StoredObject, state: State) -> State:
    whole = "failed" if state.get("failed") else "available"
    status = {"creating": "pending", "deleting": "deleting", "gone": "deleted"}.get(found.status, whole)
    address = {
        "AllocationId": state["allocation_id"],
        "PublicIp": state["public_ip"],
        "PrivateIp": state["private_ip"],
        "NetworkInterfaceId": state["network_interface_id"],
        "AssociationId": state["association_id"],
    }
    return {
        "SubnetId": state["subnet_id"],
        "VpcId": state["vpc_id"],
        "State": status,
        "ConnectivityType": state["connectivity_type"],
        "CreateTime": when(found.created_at),
        "NatGatewayAddresses": [{key: value for key, value in address.items() if value}],
    }


def _address(_found: StoredObject, state: State) -> State:
    return {"PublicIp": state["public_ip"], "Domain": state["domain"]}


def _security_group(found: StoredObject, state: State) -> State:
    return {
        "GroupName": state["name"],
        "Description": state["description"],
        "VpcId": state["vpc_id"],
        "OwnerId": found.account,
    }


def _internet_gateway(found: StoredObject, state: State) -> State:
    attached = [{"VpcId": state["vpc_id"], "State": "available"}] if state["vpc_id"] else []
    return {"Attachments": attached, "OwnerId": found.account}


def _route_table(found: StoredObject, state: State) -> State:
    return {"VpcId": state["vpc_id"], "OwnerId": found.account}


def _vpc_endpoint(found: StoredObject, state: State) -> State:
    return {
        "VpcId": state["vpc_id"],
        "ServiceName": state["service_name"],
        "VpcEndpointType": state["vpc_endpoint_type"],
        "State": state["state"],
        "OwnerId": found.account,
        "RouteTableIds": state.get("route_table_ids") or [],
        "SubnetIds": state.get("subnet_ids") or [],
        "Groups": [{"GroupId": id, "GroupName": id} for id in state.get("security_group_ids") or []],
        "PrivateDnsEnabled": bool(state.get("private_dns_enabled")),
    }


_KINDS = {
    "DescribeVpcs": _Kind("aws_vpc", "Vpcs", "VpcId", "VpcIds", "vpc-id", _vpc),
    "DescribeSubnets": _Kind("aws_subnet", "Subnets", "SubnetId", "SubnetIds", "subnet-id", _subnet),
    "DescribeNatGateways": _Kind(
        "aws_nat_gateway", "NatGateways", "NatGatewayId", "NatGatewayIds", "nat-gateway-id", _nat_gateway
    ),
    "DescribeAddresses": _Kind(
        "aws_eip", "Addresses", "AllocationId", "AllocationIds", "allocation-id", _address
    ),
    "DescribeSecurityGroups": _Kind(
        "aws_security_group", "SecurityGroups", "GroupId", "GroupIds", "group-id", _security_group
    ),
    "DescribeInternetGateways": _Kind(
        "aws_internet_gateway",
        *("InternetGateways", "InternetGatewayId", "InternetGatewayIds", "internet-gateway-id"),
        _internet_gateway,
    ),
    "DescribeRouteTables": _Kind(
        "aws_route_table", "RouteTables", "RouteTableId", "RouteTableIds", "route-table-id", _route_table
    ),
    "DescribeVpcEndpoints": _Kind(
        "aws_vpc_endpoint",
        "VpcEndpoints",
        "VpcEndpointId",
        "VpcEndpointIds",
        "vpc-endpoint-id",
        _vpc_endpoint,
    ),
    "DescribeNetworkInterfaces": _Kind(
        INTERFACE,
        *("NetworkInterfaces", "NetworkInterfaceId", "NetworkInterfaceIds", "network-interface-id"),
        ec2_entries.network_interface,
    ),
    "DescribeVolumes": _Kind(VOLUME, "Volumes", "VolumeId", "VolumeIds", "volume-id", ec2_entries.volume),
    "DescribeLaunchTemplates": _Kind(
        "aws_launch_template",
        *("LaunchTemplates", "LaunchTemplateId", "LaunchTemplateIds", "launch-template-id"),
        ec2_entries.launch_template,
    ),
    "DescribeFlowLogs": _Kind(
        "aws_flow_log", "FlowLogs", "FlowLogId", "FlowLogIds", "flow-log-id", ec2_entries.flow_log
    ),
}
_SHOWN_WHEN_GONE = {"aws_nat_gateway": "nat_gateway_deleted"}
"""Kinds that EC2 shows for about an hour after their deletion; the setting `lasts:…` changes it."""

_ATTRIBUTES = {
    "vpc-id": "vpc_id",
    "attachment.vpc-id": "vpc_id",
    "subnet-id": "subnet_id",
    "group-name": "name",
    "description": "description",
}


def _handler(kind: _Kind) -> Handler:
    def describe(request: Request) -> State:
        found = [*request.find(kind.type), *_shown_when_gone(request, kind.type)]
        if kind.type == "aws_route_table":
            found += routing.main_tables(request)
        wanted = request.params.get(kind.ids) or []
        missing = set(wanted) - {item.id for item in found}
        if missing:
            noun = kind.id.removesuffix("Id")
            raise CloudError(f"Invalid{kind.id}.NotFound", f"The {noun} '{missing.pop()}' does not exist")
        filters = request.params.get("Filters") or request.params.get("Filter") or []
        entries = []
        for item in found:
            if (not wanted or item.id in wanted) and all(_matches(kind, item, each) for each in filters):
                entries.append(_entry(request, kind, item))
        size = int(request.params.get("MaxResults") or _PAGE)
        items, token = page(entries, size, request.params.get("NextToken"))
        return {kind.list: items, "NextToken": token}

    return describe


def _entry(request: Request, kind: _Kind, item: StoredObject) -> State:
    entry = {kind.id: item.id, "Tags": tag_list(item.tags), **kind.entry(item, _state(item))}
    if kind.type == "aws_eip":
        holders = [gw for gw in request.find("aws_nat_gateway") if gw.state["allocation_id"] == item.id]
        if holders:
            entry["AssociationId"] = holders[0].state["association_id"]
            entry["NetworkInterfaceId"] = holders[0].state["network_interface_id"]
    if kind.type == "aws_route_table":
        entry |= routing.routing(request, item)
    if kind.type == "aws_subnet":
        entry["AvailableIpAddressCount"] = addresses.free(request.store, item)
    return entry


def _matches(kind: _Kind, item: StoredObject, wanted: State) -> bool:
    name, patterns = wanted["Name"], wanted.get("Values") or []
    if name.startswith("tag:"):
        tag = item.tags.get(name.removeprefix("tag:"))
        values = [] if tag is None else [tag]
    elif name == "tag-key":
        values = list(item.tags)
    elif name == kind.filter:
        values = [item.id]
    elif name in _ATTRIBUTES and _ATTRIBUTES[name] in item.state:
        values = [item.state[_ATTRIBUTES[name]] or ""]
    elif name == "group-id" and "groups" in item.state:
        values = item.state["groups"]
    elif name == "state":
        values = [kind.entry(item, _state(item)).get("State", "")]
    elif name == "status":
        values = [kind.entry(item, _state(item)).get("Status", "")]
    else:
        raise CloudError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns)


def _state(item: StoredObject) -> State:
    return current(item) if item.type in catalog() and item.status != "gone" else item.state


def _shown_when_gone(request: Request, type: str) -> list[StoredObject]:
    if type not in _SHOWN_WHEN_GONE:
        return []
    within = request.store.lasting(_SHOWN_WHEN_GONE[type], TERMINATED_SECONDS)
    return request.store.gone(type, account=request.principal.account, region=request.region, within=within)


def _availability_zones(request: Request) -> State:
    entries = [
        {
            "ZoneName": zone.name,
            "ZoneId": zone.id,
            "RegionName": request.region,
            "State": "available",
            "OptInStatus": "opt-in-not-required",
            "ZoneType": "availability-zone",
            "GroupName": f"{request.region}-zg-1",
            "NetworkBorderGroup": request.region,
        }
        for zone in zones_of(request.principal.account, request.region)
    ]
    known = {"zone-type": "ZoneType", "state": "State", "zone-id": "ZoneId", "zone-name": "ZoneName"}
    for wanted in request.params.get("Filters") or request.params.get("Filter") or []:
        if wanted["Name"] not in known:
            raise CloudError("InvalidParameterValue", f"The filter '{wanted['Name']}' is invalid")
        entries = [one for one in entries if one[known[wanted["Name"]]] in wanted["Values"]]
    return {"AvailabilityZones": entries}


def _instance_type_offerings(request: Request) -> State:
    account, kind = request.principal.account, request.params.get("LocationType") or "region"
    if kind not in ("availability-zone", "availability-zone-id"):
        raise CloudError(
            "InvalidParameterValue", f"The simulated cloud tells offerings by zone, not by {kind}"
        )
    wanted = {one["Name"]: one["Values"] for one in request.params.get("Filters") or []}
    types = [type_ for type_ in offerings.TYPES if type_ in wanted.get("instance-type", offerings.TYPES)]
    entries = [
        {
            "InstanceType": type_,
            "LocationType": kind,
            "Location": zone.id if kind == "availability-zone-id" else zone.name,
        }
        for zone in zones_of(account, request.region)
        for type_ in types
        if offerings.offered(request.store, account, zone.id, type_)
    ]
    return {"InstanceTypeOfferings": entries}


HANDLERS: dict[str, Handler] = {
    "DescribeInstanceTypeOfferings": _instance_type_offerings,
    "DescribeAvailabilityZones": _availability_zones,
    **{action: _handler(kind) for action, kind in _KINDS.items()},
    **ec2_entries.HANDLERS,
    **ec2_networks.HANDLERS,
    **routing.HANDLERS,
}
