"""Adoption of what EC2 has: the network and who reaches what in it.

These have ids of AWS's making. What the state or the journal knows is looked for by its id; else by the tag
that every one carries from its creation on, and by what makes it this one and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from beta9_provisioning.clouds.aws.adoption_search import (
    Entry,
    Find,
    Found,
    Search,
    Wanted,
    name_tag,
    referred,
    type_of,
)
from beta9_provisioning.clouds.stands import Condition

_BEING_MADE = frozenset({"pending", "pendingacceptance"})
_GONE = frozenset({"deleting", "deleted"})
_FAILED = "failed"
Matches = Callable[[Wanted, Entry], bool]


def _by(kind: str, matches: Matches, *, status: str = "State") -> Find:
    """Return how a kind of EC2 is found; `status` names what says how an entry is."""

    def find(wanted: Wanted) -> Found | None:
        held = wanted.search.known.state.get(wanted.address)
        alive = {
            id_: entry
            for id_, entry in wanted.search.entries(kind).items()
            if _word(entry, status) not in _GONE and (id_ == held or matches(wanted, entry))
        }
        whole = {id_: entry for id_, entry in alive.items() if _word(entry, status) != _FAILED}
        id_ = wanted.search.choose(wanted.address, whole) or wanted.search.choose(wanted.address, alive)
        return _found(id_, _word(alive[id_], status)) if id_ else None

    return find


def _word(entry: Entry, status: str) -> str:
    return str(entry.get(status, "")).lower()


def _found(id_: str, word: str, import_id: str = "") -> Found:
    condition = Condition.UNFINISHED if word in _BEING_MADE else Condition.READY
    return Found(id_, import_id, Condition.FAILED if word == _FAILED else condition, status=word)


def _vpc(wanted: Wanted, entry: Entry) -> bool:
    return name_tag(entry) == wanted.name


def _subnet(wanted: Wanted, entry: Entry) -> bool:
    return _in_vpc(wanted, entry) and entry["CidrBlock"] == wanted.body["cidr_block"]


def _in_vpc(wanted: Wanted, entry: Entry) -> bool:
    return bool(entry["VpcId"]) and entry["VpcId"] == wanted.value("vpc_id")


def _internet_gateway(wanted: Wanted, entry: Entry) -> bool:
    """One that was made and not attached is this one, too: Terraform attaches it."""
    attached = [one["VpcId"] for one in entry.get("Attachments", ())]
    return name_tag(entry) == wanted.name and attached in ([], [wanted.value("vpc_id")])


def _route_table(wanted: Wanted, entry: Entry) -> bool:
    return _in_vpc(wanted, entry) and name_tag(entry) == wanted.name


def _nat_gateway(wanted: Wanted, entry: Entry) -> bool:
    return bool(entry["SubnetId"]) and entry["SubnetId"] == wanted.value("subnet_id")


def _endpoint(wanted: Wanted, entry: Entry) -> bool:
    return _in_vpc(wanted, entry) and entry["ServiceName"] == wanted.body["service_name"]


def _flow_log(wanted: Wanted, entry: Entry) -> bool:
    return bool(entry["ResourceId"]) and entry["ResourceId"] == wanted.value("vpc_id")


def _security_group(wanted: Wanted, entry: Entry) -> bool:
    return _in_vpc(wanted, entry) and entry["GroupName"] == wanted.body["name"]


def _launch_template(wanted: Wanted, entry: Entry) -> bool:
    return bool(entry["LaunchTemplateName"] == wanted.body["name"])


def _address(wanted: Wanted) -> Found | None:
    """Find an address for NAT: all have one name, and the gateway that uses one says whose it is."""
    pool = {
        id_: entry
        for id_, entry in wanted.search.entries("ec2:elastic-ip").items()
        if name_tag(entry) == wanted.name
    }
    used = dict(_used_addresses(wanted.search))
    held = used.get(wanted.address, "")
    mine = {held: pool[held]} if held in pool else {}
    free = {id_: entry for id_, entry in pool.items() if id_ not in used.values()}
    id_ = wanted.search.choose(wanted.address, mine or free)
    return Found(id_) if id_ else None


def _used_addresses(search: Search) -> Iterator[tuple[str, str]]:
    """Yield the stack's addresses for NAT with their ids, where a gateway in the right subnet uses them."""
    gateways = [
        entry
        for entry in search.entries("ec2:natgateway").values()
        if _word(entry, "State") not in {*_GONE, _FAILED}
    ]
    for address, body in search.known.stack.items():
        subnet = search.value(body, "subnet_id") if type_of(address) == "aws_nat_gateway" else ""
        for entry in gateways:
            if subnet and entry["SubnetId"] == subnet:
                for one in entry["NatGatewayAddresses"]:
                    yield referred(body, "allocation_id"), one.get("AllocationId", "")


def _route(wanted: Wanted) -> Found | None:
    table, destination = wanted.value("route_table_id"), wanted.body["destination_cidr_block"]
    entry = wanted.search.entries("ec2:route-table").get(table, {})
    for route in entry.get("Routes", ()):
        if route.get("DestinationCidrBlock") == destination and route.get("Origin") == "CreateRoute":
            return Found(f"{table}_{destination}")
    return None


def _association(wanted: Wanted) -> Found | None:
    """Find to which table a subnet belongs, be it this one or not: Terraform then changes it."""
    subnet = wanted.value("subnet_id")
    for table, entry in wanted.search.entries("ec2:route-table").items():
        for one in entry.get("Associations", ()):
            if subnet and one.get("SubnetId") == subnet:
                return Found(one["RouteTableAssociationId"], f"{subnet}/{table}")
    return None


def _ingress_rule(wanted: Wanted) -> Found | None:
    group = wanted.value("security_group_id")
    if not group:
        return None
    ec2 = wanted.search.session.client("ec2")
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )
    ports = (wanted.body["ip_protocol"], wanted.body["from_port"], wanted.body["to_port"])
    admitted = wanted.value("referenced_security_group_id")
    rules = {
        rule["SecurityGroupRuleId"]: rule
        for page in pages
        for rule in page["SecurityGroupRules"]
        if not rule["IsEgress"]
        and (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ports
        # That of a cluster that is made is known to Terraform alone, and is the only one.
        and (not admitted.startswith("sg-") or rule.get("ReferencedGroupInfo", {}).get("GroupId") == admitted)
    }
    id_ = wanted.search.choose(wanted.address, rules)
    return Found(id_) if id_ else None


FINDERS: Mapping[str, tuple[str, Find]] = {
    "aws_vpc": ("VPC", _by("ec2:vpc", _vpc)),
    "aws_subnet": ("SUBNET", _by("ec2:subnet", _subnet)),
    "aws_internet_gateway": ("GATEWAY", _by("ec2:internet-gateway", _internet_gateway)),
    "aws_route_table": ("TABLE", _by("ec2:route-table", _route_table)),
    "aws_eip": ("ALLOCATION", _address),
    "aws_nat_gateway": ("GATEWAY", _by("ec2:natgateway", _nat_gateway)),
    "aws_route": ("TABLE_DESTINATION", _route),
    "aws_route_table_association": ("SUBNET/TABLE", _association),
    "aws_vpc_endpoint": ("ENDPOINT", _by("ec2:vpc-endpoint", _endpoint)),
    "aws_flow_log": ("LOG", _by("ec2:vpc-flow-log", _flow_log, status="FlowLogStatus")),
    "aws_security_group": ("GROUP", _by("ec2:security-group", _security_group)),
    "aws_launch_template": ("TEMPLATE", _by("ec2:launch-template", _launch_template)),
}
"""By type: the form of its import id, and how it is found. What others refer to comes before them."""
AFTER_CLUSTER: Mapping[str, tuple[str, Find]] = {
    "aws_vpc_security_group_ingress_rule": ("RULE", _ingress_rule),
}
"""The same, for what refers to more than the network."""
