"""What AWS says of its permissions: on which resources each is asked, and which condition keys it knows.

The data (`service_reference.json`) is AWS's Service Authorization Reference, for the permissions that
provisioning may need.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


class UnknownAction(Exception):
    """The data does not have a permission: it has to be added before a policy can be judged."""


@dataclass(frozen=True)
class Permission:
    """A permission as AWS describes it.

    Attributes:
        name: such as `ec2:CreateVpc`.
        on: types of resources it is asked on, and whether such a resource is always named.
        known: condition keys that a request may have on one of them, in lower case. A key with a tag's name
            in it ends in a slash.
    """

    name: str
    on: dict[str, bool]
    known: frozenset[str]


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (Path(__file__).parent / "service_reference.json").read_text(encoding="utf-8")
    )
    return found


@cache
def permission(action: str) -> Permission:
    """Return what AWS says of a permission.

    Raises:
        UnknownAction: the data does not have it.
    """
    row = _data()["actions"].get(action)
    if row is None:
        raise UnknownAction(f"{action} is not in service_reference.json")
    service = action.partition(":")[0]
    on = {f"{service}:{type_}": bool(told["required"]) for type_, told in row.items() if type_}
    keys = [*row.get("", ()), *(key for type_, told in row.items() if type_ for key in told["keys"])]
    return Permission(action, on, frozenset(str(key).lower() for key in keys))


def actions() -> frozenset[str]:
    """Return all permissions that the data has."""
    return frozenset(_data()["actions"])


def templates(action: str) -> list[str]:
    """Return the forms of the ARNs that a permission is asked on."""
    found: dict[str, str] = _data()["arns"]
    return [found[resource_type] for resource_type in permission(action).on]


def arn(resource_type: str, account: str, region: str, name: str) -> str:
    """Return the ARN of a resource whose name, or path of names, stands for all that its type leaves open."""
    template: str = _data()["arns"][resource_type]
    known = {"Partition": "aws", "Region": region, "Account": account}
    filled = _PLACEHOLDER.sub(lambda match: known.get(match[1], match[0]), template)
    first = _PLACEHOLDER.search(filled)
    return filled if first is None else filled[: first.start()] + name
