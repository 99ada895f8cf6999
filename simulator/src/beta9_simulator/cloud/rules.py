"""What the cloud refuses: missing references, taken names, deletes of what is still in use.

Run these checks inside the transaction of the write they guard (``Store.create`` and ``Store.delete`` do).
"""

import re
from collections.abc import Iterator
from typing import Any

from beta9_simulator.cloud.catalog import Link, Need, Unique, catalog
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store, StoredObject
from beta9_simulator.cloud.templates import Context, render

_MADE_BY_AWS = re.compile(r"default([.:].*)?|local|arn:aws:iam::aws:.*")
"""Names of what exists in every account without having been created."""

_MESSAGES = {
    "DependencyViolation": "resource $id has a dependent object",
    "ResourceInUseException": "$name is in use",
}
# As EC2 says it: https://github.com/eksctl-io/eksctl/issues/7589,
# https://github.com/hashicorp/terraform-provider-aws/issues/30640.
_HELD = {
    "aws_subnet": "The subnet '$id' has dependencies and cannot be deleted.",
    "aws_vpc": "The vpc '$id' has dependencies and cannot be deleted.",
    "aws_route_table": "The routeTable '$id' has dependencies and cannot be deleted.",
}

INTERFACE = "ec2:network-interface"
"""Type of the network interfaces, which no stack has: AWS's services and clusters make them."""
_HOLDS = {"aws_subnet": "subnet_id", "aws_vpc": "vpc_id", "aws_security_group": "groups"}


class CloudError(Exception):
    """The cloud refuses a request. ``code`` is the AWS error code, ``message`` its text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def values_at(state: dict[str, Any], path: str) -> list[Any]:
    """Return the values at a dotted path, through lists of blocks; null and empty text are left out."""
    found: list[Any] = [state]
    for key in path.split("."):
        found = [item.get(key) for item in found if isinstance(item, dict)]
        found = [inner for item in found for inner in (item if isinstance(item, list) else [item])]
    return [value for value in found if value not in (None, "")]


def check_create(store: Store, new: NewObject) -> None:
    """Raise ``CloudError`` when something a new object names is missing, or its name is taken."""
    entry = catalog()[new.type]
    for path, need in entry.needs.items():
        for value in values_at(new.state, path):
            if not _MADE_BY_AWS.fullmatch(str(value)):
                _check_need(store, new, need, value, active=path in entry.needs_active)
    for unique in entry.unique:
        _check_unique(store, new, unique)


def _check_need(store: Store, new: NewObject, need: Need, value: Any, *, active: bool) -> None:
    region = GLOBAL if catalog()[need.type].is_global else new.region
    found = [
        other
        for other in store.find(need.type, account=new.account, region=region)
        if other.state.get(need.attribute) == value
        and all(other.state.get(key) == new.state.get(key) for key in need.same)
    ]
    if not found:
        noun = catalog()[need.type].noun
        raise CloudError(need.error, f"The {noun} '{value}' does not exist")
    if active and found[0].status in ("creating", "deleting"):
        raise CloudError(
            "InvalidRequestException", f"{value} is not in ACTIVE status: it is {found[0].status}"
        )


def _check_unique(store: Store, new: NewObject, unique: Unique) -> None:
    key = [new.state.get(attribute) for attribute in unique.by]
    if not any(key):
        return
    anywhere = unique.within == "cloud"
    others = store.find(
        new.type, account=None if anywhere else new.account, region=None if anywhere else new.region
    )
    for other in others:
        if [other.state.get(attribute) for attribute in unique.by] == key:
            elsewhere = other.account != new.account and unique.error_elsewhere
            context = Context(account=new.account, region=new.region).add(new.state)
            raise CloudError(elsewhere or unique.error, str(render(unique.message, context)))


def check_delete(store: Store, target: StoredObject) -> None:
    """Raise ``CloudError`` when something that still exists, or is still being deleted, needs the object."""
    for link in catalog()[target.type].blocked_by:
        if next(linked(store, target, link), None) is not None:
            context = Context(id=target.id, name=target.name).add(target.state)
            template = link.message or _HELD.get(target.type) or _MESSAGES.get(link.error, "$id is in use")
            raise CloudError(link.error, str(render(template, context)))
    check_interfaces(store, target)


def check_interfaces(store: Store, target: StoredObject) -> None:
    """Raise ``CloudError`` when a network interface holds what is to be deleted of a network."""
    if target.type == "aws_internet_gateway":
        vpc = target.state.get("vpc_id")
        if any(
            held.state["vpc_id"] == vpc and held.state["public_ip"] for held in _interfaces(store, target)
        ):
            raise CloudError(
                "DependencyViolation",
                f"Network {vpc} has some mapped public address(es). Please unmap those public address(es) "
                "before detaching the gateway.",
            )
    attribute = _HOLDS.get(target.type)
    if attribute and any(target.id in held.state[attribute] for held in _interfaces(store, target)):
        template = _HELD.get(target.type) or _MESSAGES["DependencyViolation"]
        raise CloudError("DependencyViolation", str(render(template, Context(id=target.id))))


def _interfaces(store: Store, target: StoredObject) -> list[StoredObject]:
    return store.find(INTERFACE, account=target.account, region=target.region)


def linked(store: Store, target: StoredObject, link: Link) -> Iterator[StoredObject]:
    """Yield the objects of the same account that a link finds from ``target``."""
    own = target.id if link.own == "id" else target.state.get(link.own)
    for other in store.find(link.type, account=target.account):
        if other.region != target.region and GLOBAL not in (other.region, target.region):
            continue
        if own not in values_at(other.state, link.attribute) or other.uid == target.uid:
            continue
        if link.unless and other.state.get(link.unless) == own:
            continue
        if any(other.state.get(key) != target.state.get(key) for key in link.same):
            continue
        if link.used_by is None or next(linked(store, other, link.used_by), None) is not None:
            yield other
