"""What the independent list has for the types of our stacks and we do not ask for, and why."""

from collections import defaultdict
from collections.abc import Iterator

from beta9_provisioning.clouds.aws import permissions
from beta9_simulator.cloud.authorization.operations import actions
from beta9_simulator.cloud.authorization.provider_needs import exceptions, operations

_STANDS = "changes what stands, which this release never does"
_TAGS_STAY = "tags are given once, and not changed"


def unasked() -> dict[str, tuple[list[str], list[str]]]:
    """Return by permission: Terraform's types for which the list has it, and why we do not ask for it."""
    granted = {action for grant in permissions.grants() for action in grant.actions}
    types, reasons = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for type_, what, operation in _listed():
        for action in actions(*operation.split(":")):
            if action not in granted:
                types[action].append(type_)
                reasons[action].append(_reason(type_, what, operation))
    return {action: (_once(types[action]), _once(reasons[action])) for action in sorted(types)}


def _listed() -> Iterator[tuple[str, str, str]]:
    for type_, by_what in operations().items():
        for what, names in by_what.items():
            for name in names:
                yield type_, what, name


def _reason(type_: str, what: str, operation: str) -> str:
    row = exceptions().get(type_, {}).get(what, {}).get(operation)
    if row is None:
        return {"update": _STANDS, "update_tags": _TAGS_STAY}[what]
    if "never" in row:
        return row["never"]
    attributes = " or ".join(f"`{name}`" for name in (row.get("if") or row["changed"]).split())
    if "if" in row:
        return f"only when {attributes} says something, which it does not in our stacks"
    return f"only when {attributes} changes, which it does not in what stands"


def _once(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))
