"""A part of a stack, as a configuration that takes what exists into the state and changes none of it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Set
from typing import Any

from beta9_provisioning.engine.synthesis.synthesize import resources_of

_ADDRESS = re.compile(r"\b[a-z]\w*\.[A-Za-z_]\w*\b")
_INTERPOLATION = re.compile(r"\$\{[^{}]*\}")
# Terraform does not know its value before an apply, so that no provider checks it.
_UNKNOWN = "${timestamp()}"
# It is asked for, and never used: the arguments that take it are among the changes that are ignored.
_UNUSED = "not-used-by-an-import"


def excerpt(content: bytes, addresses: Collection[str], bare: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bare stack with these resources of another.

    What they refer to may be left out: then the value is unknown, and its change ignored as all are.
    """
    stack = resources_of(content)
    absent = stack.keys() - set(addresses)
    resources: dict[str, dict[str, Any]] = {}
    for address in sorted(stack.keys() & set(addresses)):
        type_, name = address.split(".", 1)
        body = _blind(stack[address], absent)
        before = [one for one in body.pop("depends_on", ()) if one not in absent]
        order = {"depends_on": before} if before else {}
        resources.setdefault(type_, {})[name] = body | order | {"lifecycle": {"ignore_changes": "all"}}
    variables = {
        name: {**body, "default": _UNUSED} for name, body in json.loads(content).get("variable", {}).items()
    }
    return {**bare, "resource": resources, **({"variable": variables} if variables else {})}


def _blind(value: Any, absent: Set[str]) -> Any:
    """Return a value with something unknown in the place of what refers to what is absent."""
    if isinstance(value, str):
        return _INTERPOLATION.sub(
            lambda found: found[0] if absent.isdisjoint(_ADDRESS.findall(found[0])) else _UNKNOWN, value
        )
    if isinstance(value, Mapping):
        return {key: _blind(one, absent) for key, one in value.items()}
    return [_blind(one, absent) for one in value] if isinstance(value, list) else value
