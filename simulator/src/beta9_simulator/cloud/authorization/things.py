"""Resources as permissions know them: ARNs, and what conditions may say of their tags."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from beta9_simulator.cloud.authorization.reference import Permission, arn
from beta9_simulator.cloud.controllers import LOAD_BALANCER, TARGET_GROUP, VOLUME
from beta9_simulator.cloud.store import GLOBAL, Store, StoredObject

Context = dict[str, str | tuple[str, ...]]
BOUNDARY = "iam:PermissionsBoundary"
"""The boundary of the role that a request is about, or with which it makes one."""
# What clusters make, which Terraform does not know.
_OF_CLUSTERS = {
    "ec2:volume": VOLUME,
    "elasticloadbalancing:loadbalancer/app/": LOAD_BALANCER,
    "elasticloadbalancing:loadbalancer/net/": LOAD_BALANCER,
    "elasticloadbalancing:targetgroup": TARGET_GROUP,
}
_ARNS = ("access_entry_arn", "association_arn", "security_group_rule_arn", "arn")


@dataclass(frozen=True)
class Target:
    """A resource that a permission is asked on, with what conditions may say of it."""

    arn: str
    context: Context


@cache
def subjects() -> dict[str, dict[str, Any]]:
    """Return what each of Terraform's types is to IAM; the file says what the words mean."""
    return tomllib.loads((Path(__file__).parent / "subjects.toml").read_text(encoding="utf-8"))


class Things:
    """The resources of one account, seen from one region."""

    def __init__(self, store: Store, account: str, region: str) -> None:
        self._store = store
        self._account = account
        self._region = region

    def arn(self, resource_type: str, name: str, action: str = "") -> str:
        """Return the ARN of what has a name; a name may be the ARN itself."""
        if name.startswith("arn:") and resource_type != "logs:log-group":
            return name
        if resource_type == "kms:alias":
            name = name.removeprefix("alias/")
        if resource_type == "ssm:parameter":
            name = name.removeprefix("/")
        if resource_type == "logs:log-group":
            # Permissions are asked with the streams in it, but those about tags.
            name = name.rpartition(":log-group:")[2].removesuffix(":*")
            name += "" if "Tag" in action else ":log-stream:"
        return arn(resource_type, self._account, self._region, name)

    def target(self, resource_type: str, name: str, action: str = "") -> Target:
        """Return what a request names, with its tags if it exists."""
        found = self._find(resource_type, name)
        if found is None:
            return Target(self.arn(resource_type, name, action), {})
        return Target(
            own_arn(found.state)
            if resource_type != "logs:log-group" and own_arn(found.state)
            else self.arn(resource_type, found.name or name, action),
            {**tagged(resource_type, found.tags), **bounded(found.state)},
        )

    def _find(self, resource_type: str, name: str) -> StoredObject | None:
        for type_ in _types(resource_type):
            for region in (self._region, GLOBAL):
                for item in self._store.find(type_, account=self._account, region=region):
                    if name in (item.id, item.name, item.state.get("arn"), item.state.get("key_id")):
                        return item
        return None


def _types(resource_type: str) -> list[str]:
    """Return the types of objects in the store that are of a type of IAM's."""
    if resource_type in _OF_CLUSTERS:
        return [_OF_CLUSTERS[resource_type]]
    return [
        type_
        for type_, told in subjects().items()
        if told["self"] == resource_type and not told.get("borrowed")
    ]


def own_arn(state: dict[str, Any]) -> str:
    """Return the ARN that a resource's attributes tell, or nothing."""
    told = (state.get(name) for name in _ARNS)
    return next((value for value in told if isinstance(value, str) and value), "")


def tagged(resource_type: str, tags: Any) -> Context:
    """Return what conditions may say of a resource's tags; EC2 has a key of its own besides."""
    given: dict[str, str] = tags or {}
    context: Context = {f"aws:ResourceTag/{key}": value for key, value in given.items()}
    if resource_type.startswith("ec2:"):
        context |= {f"ec2:ResourceTag/{key}": value for key, value in given.items()}
    return context


def bounded(state: dict[str, Any]) -> Context:
    """Return what conditions may say of a role's boundary."""
    return {BOUNDARY: str(state["permissions_boundary"])} if state.get("permissions_boundary") else {}


def of_action(told: Permission, context: Context) -> Context:
    """Return a context without the boundary where the action does not know it."""
    is_known = BOUNDARY.lower() in told.known
    return {key: value for key, value in context.items() if is_known or key != BOUNDARY}


def requested(tags: Any) -> Context:
    """Return what conditions may say of the tags that a request gives."""
    given: dict[str, str] = tags or {}
    if not given:
        return {}
    return {**{f"aws:RequestTag/{key}": value for key, value in given.items()}, "aws:TagKeys": tuple(given)}
