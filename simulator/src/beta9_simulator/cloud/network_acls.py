"""Network ACLs: the one that comes with every VPC, and those that somebody put there.

No stack has them. ``add_acl`` is for tests: what an owner made with tools that this cloud does not imitate.
The default one lets everything through ("Default network ACL" in the VPC user guide).
"""

from typing import Any

from beta9_simulator.cloud.store import NewObject, Store, StoredObject

ACL = "ec2:network-acl"
LAST = 32767
"""The number by which the API tells the entry that refuses what no other fits, which people see as ``*``."""
Entry = dict[str, Any]


def entry(
    number: int,
    action: str,
    *,
    egress: bool,
    cidr: str = "0.0.0.0/0",
    protocol: str = "-1",
    ports: tuple[int, int] | None = None,
) -> Entry:
    """Return an entry as the API tells it."""
    told = {
        "RuleNumber": number,
        "RuleAction": action,
        "Egress": egress,
        "CidrBlock": cidr,
        "Protocol": protocol,
    }
    return told | ({"PortRange": {"From": ports[0], "To": ports[1]}} if ports else {})


_LAST = [entry(LAST, "deny", egress=egress) for egress in (True, False)]
_EVERYTHING = [entry(100, "allow", egress=egress) for egress in (True, False)]


def add_acl(
    store: Store, vpc: StoredObject, id_: str, entries: list[Entry], subnet_ids: list[str]
) -> StoredObject:
    """Make an ACL for subnets, which they had not before."""
    state = {"id": id_, "vpc_id": vpc.id, "entries": entries, "subnet_ids": subnet_ids, "tags": {}}
    return store.create(NewObject(vpc.account, vpc.region, ACL, id_, "", state, origin="api"))


def acls(store: Store, account: str, region: str) -> list[dict[str, Any]]:
    """Return all ACLs of an account's region as the API tells them."""
    subnets = store.find("aws_subnet", account=account, region=region)
    made = store.find(ACL, account=account, region=region)
    held = {id_ for one in made for id_ in one.state["subnet_ids"]}
    found = []
    for vpc in store.find("aws_vpc", account=account, region=region):
        rest = [one.id for one in subnets if one.state["vpc_id"] == vpc.id and one.id not in held]
        default = vpc.state.get("default_network_acl_id") or f"acl-{vpc.id[4:]}"
        found.append(_told(vpc, default, _EVERYTHING, rest, is_default=True))
        found += [
            _told(vpc, one.id, one.state["entries"], one.state["subnet_ids"], is_default=False)
            for one in made
            if one.state["vpc_id"] == vpc.id
        ]
    return found


def _told(
    vpc: StoredObject, id_: str, entries: list[Entry], subnet_ids: list[str], *, is_default: bool
) -> dict[str, Any]:
    return {
        "NetworkAclId": id_,
        "VpcId": vpc.id,
        "OwnerId": vpc.account,
        "IsDefault": is_default,
        "Entries": [*entries, *_LAST],
        "Associations": [
            {
                "NetworkAclAssociationId": f"aclassoc-{subnet_id[7:]}",
                "NetworkAclId": id_,
                "SubnetId": subnet_id,
            }
            for subnet_id in subnet_ids
        ],
        "Tags": [],
    }
