"""What the role in a customer's account may do: the published policies, from `permissions.toml`."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MOST_CHARACTERS = 6144
"""Of a managed policy, without white space ("IAM and AWS STS quotas")."""
BUCKET_PREFIX = "beta9"
"""With which an environment's buckets begin, unless its configuration says otherwise."""
BOUNDARY_KEY = "iam:PermissionsBoundary"
"""The condition key that tells the boundary of a role that is made or changed."""
_VERSION = "2012-10-17"
_PREFIX = "$BucketPrefix"


@dataclass(frozen=True)
class Grant:
    """Actions on the resources of a scope, in phases, and why.

    Attributes:
        is_bounded: whether it is for roles with a boundary only, in accounts that demand one of all roles.
        is_optional: whether the service gets along without it.
    """

    phases: tuple[str, ...]
    scope: str
    actions: tuple[str, ...]
    why: str
    is_bounded: bool = False
    is_optional: bool = False


@dataclass(frozen=True)
class Scope:
    """Resources that grants are for; `says` tells which in words.

    Attributes:
        context: by condition key, what fulfils a condition that has patterns.
        asked: resources that stand for those of an environment: of each list one has to be allowed.
    """

    on: tuple[str, ...]
    condition: dict[str, dict[str, Any]]
    says: str
    context: dict[str, str]
    asked: tuple[tuple[str, ...], ...]


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def phases() -> dict[str, str]:
    """Return the phases of an environment's life, and what each is for."""
    found: dict[str, str] = _data()["phases"]
    return found


@cache
def scopes() -> dict[str, Scope]:
    """Return what grants are for, by name."""
    return {
        name: Scope(
            tuple(told["on"]),
            told.get("condition", {}),
            told["says"],
            told.get("context", {}),
            tuple(map(tuple, told.get("asked", ()))),
        )
        for name, told in _data()["scopes"].items()
    }


@cache
def grants() -> tuple[Grant, ...]:
    """Return all that is granted, in the order of the phases."""
    return tuple(
        Grant(
            tuple(told["phases"]),
            told["scope"],
            tuple(sorted(told["actions"])),
            told["why"],
            told.get("bounded", False),
            told.get("optional", False),
        )
        for told in _data()["grants"]
    )


def policy(
    phase: str, *, bucket_prefix: str = BUCKET_PREFIX, boundary_of_roles: str | None = None
) -> dict[str, Any]:
    """Return the managed policy of a phase; both choices may be references in a template.

    With `boundary_of_roles`, the ARN of a policy, only roles with this boundary can be made and written.
    Grants on the same scope are one statement: a policy has few characters.
    """
    merged: dict[tuple[str, bool], set[str]] = {}
    for one in grants():
        if phase in one.phases:
            merged.setdefault((one.scope, one.is_bounded), set()).update(one.actions)
    return {
        "Version": _VERSION,
        "Statement": [
            _statement(
                scopes()[scope], sorted(actions), bucket_prefix, boundary_of_roles if is_bounded else None
            )
            for (scope, is_bounded), actions in merged.items()
        ],
    }


def policies(
    *, bucket_prefix: str = BUCKET_PREFIX, boundary_of_roles: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return all policies of the role by their names."""
    return {
        policy_name(phase): policy(phase, bucket_prefix=bucket_prefix, boundary_of_roles=boundary_of_roles)
        for phase in phases()
    }


def bounded_phases() -> list[str]:
    """Return the phases whose policies are others where the roles that are made have a boundary."""
    return [phase for phase in phases() if any(one.is_bounded and phase in one.phases for one in grants())]


def policy_name(phase: str) -> str:
    """Return how the policy of a phase is called."""
    return f"Beta9Provisioner{phase.capitalize()}"


def characters(document: dict[str, Any]) -> int:
    """Return what a policy counts against IAM's quota."""
    return len(json.dumps(document, separators=(",", ":")))


def _statement(scope: Scope, actions: list[str], bucket_prefix: str, boundary: str | None) -> dict[str, Any]:
    on = [resource.replace(_PREFIX, bucket_prefix) for resource in scope.on]
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": _one_or_all(actions),
        "Resource": _one_or_all(on),
    }
    condition = dict(scope.condition)
    if boundary is not None:
        condition["StringEquals"] = {**condition.get("StringEquals", {}), BOUNDARY_KEY: boundary}
    return statement | ({"Condition": condition} if condition else {})


def _one_or_all(items: list[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else items
