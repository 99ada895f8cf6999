"""Network interfaces and security groups that nobody's stack has: AWS's services and clusters make them.

They hold subnets, security groups and VPCs (``rules.check_interfaces``): deleting a network fails then.
"""

import time
from collections.abc import Iterable
from typing import Any

from beta9_simulator.cloud.rules import INTERFACE, CloudError, check_delete
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.templates import random_text

_GROUP = "aws_security_group"


def add_interface(
    store: Store,
    owner: StoredObject,
    subnet_id: str,
    groups: list[str],
    *,
    description: str,
    origin: str = "aws",
    tags: dict[str, str] | None = None,
    instance_id: str = "",
    managed: bool = True,
    public: bool = False,
) -> StoredObject:
    """Make a network interface in use for ``owner``; ``managed`` ones belong to a service of AWS.

    The interface of an instance that is not managed is the CNI's: AWS detaches it when the instance ends.
    """
    id = f"eni-{random_text('hex', 17)}"
    found = store.find("aws_subnet", account=owner.account, region=owner.region, id=subnet_id)
    vpc_id = found[0].state["vpc_id"] if found else ""
    zone = found[0].state["availability_zone"] if found else ""
    state = {
        "id": id,
        "arn": f"arn:aws:ec2:{owner.region}:{owner.account}:network-interface/{id}",
        "subnet_id": subnet_id,
        "vpc_id": vpc_id,
        "availability_zone": zone,
        "groups": groups,
        "description": description,
        "owner": owner.uid,
        "instance_id": instance_id,
        "managed": managed,
        "public_ip": f"203.0.113.{int(random_text('hex', 2), 16)}" if public else "",
        "status": "in-use",
        "tags": tags or {},
    }
    new = NewObject(owner.account, owner.region, INTERFACE, id, description, state, owner.creator, origin)
    return store.create(new)


def interfaces_of(store: Store, owner: StoredObject) -> list[StoredObject]:
    """Return the interfaces that were made for an object."""
    found = store.find(INTERFACE, account=owner.account, region=owner.region)
    return [one for one in found if one.state["owner"] == owner.uid]


def add_group(
    store: Store,
    owner: StoredObject,
    id: str,
    *,
    name: str,
    description: str,
    vpc_id: str,
    tags: dict[str, str],
    origin: str = "aws",
) -> StoredObject:
    """Make a security group for ``owner``."""
    state: dict[str, Any] = {
        "id": id,
        "arn": f"arn:aws:ec2:{owner.region}:{owner.account}:security-group/{id}",
        "name": name,
        "description": description,
        "vpc_id": vpc_id,
        "owner_id": owner.account,
        "ingress": [],
        "egress": [],
        "tags": tags,
        "tags_all": tags,
    }
    return store.create(
        NewObject(owner.account, owner.region, _GROUP, id, name, state, owner.creator, origin)
    )


def try_to_delete(store: Store, groups: Iterable[StoredObject], seconds: float) -> None:
    """Delete security groups as a service does that gives up on those still in use."""
    for group in groups:
        try:
            store.delete(group, seconds, lambda group=group: check_delete(store, group))  # type: ignore[misc]
        except CloudError:
            continue


def seconds_left(store: Store, gone: StoredObject) -> float:
    """How long an object that is being deleted will still be there."""
    rows = store.execute("select busy_until from objects where uid=?", gone.uid)
    return max(0.0, rows[0][0] - time.time()) if rows else 0.0
