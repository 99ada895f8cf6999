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
_VERSION = "2012-10-17"
_PREFIX = "$BucketPrefix"


@dataclass(frozen=True)
class Grant:
    """One statement: actions on the resources of a scope, in phases, and why."""

    phases: tuple[str, ...]
    scope: str
    actions: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Scope:
    """Resources that grants are for; `says` tells which in words."""

    on: tuple[str, ...]
    condition: dict[str, dict[str, Any]]
    says: str


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
        name: Scope(tuple(told["on"]), told.get("condition", {}), told["says"])
        for name, told in _data()["scopes"].items()
    }


@cache
def grants() -> tuple[Grant, ...]:
    """Return all that is granted, in the order of the phases."""
    return tuple(
        Grant(tuple(told["phases"]), told["scope"], tuple(sorted(told["actions"])), told["why"])
        for told in _data()["grants"]
    )


def policy(phase: str, *, bucket_prefix: str = BUCKET_PREFIX) -> dict[str, Any]:
    """Return the managed policy of a phase; `bucket_prefix` may be a reference in a template."""
    return {
        "Version": _VERSION,
        "Statement": [_statement(one, bucket_prefix) for one in grants() if phase in one.phases],
    }


def policies(*, bucket_prefix: str = BUCKET_PREFIX) -> dict[str, dict[str, Any]]:
    """Return all policies of the role by their names."""
    return {policy_name(phase): policy(phase, bucket_prefix=bucket_prefix) for phase in phases()}


def policy_name(phase: str) -> str:
    """Return how the policy of a phase is called."""
    return f"Beta9Provisioner{phase.capitalize()}"


def characters(document: dict[str, Any]) -> int:
    """Return what a policy counts against IAM's quota."""
    return len(json.dumps(document, separators=(",", ":")))


def _statement(grant: Grant, bucket_prefix: str) -> dict[str, Any]:
    scope = scopes()[grant.scope]
    on = [resource.replace(_PREFIX, bucket_prefix) for resource in scope.on]
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": _one_or_all(list(grant.actions)),
        "Resource": _one_or_all(on),
    }
    return statement | ({"Condition": scope.condition} if scope.condition else {})


def _one_or_all(items: list[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else items
