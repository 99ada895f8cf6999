"""The CloudFormation template of the role, as YAML."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scripts.customer_account import trust

from beta9_provisioning.clouds.aws import permissions

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9:/.*-]*[A-Za-z0-9*]")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off")
_PREFIX = "${BucketPrefix}"
_BOUNDARY_OF_ROLES = "BoundaryOfRoles"
_BOUNDS_ROLES = "BoundsRoles"

HEAD = """\
# Written by `python -m scripts.render_permissions` from src/beta9_provisioning/clouds/aws/permissions.toml.
"""


@dataclass(frozen=True)
class Tagged:
    """A function of CloudFormation in its short form, such as `!Ref Path`."""

    tag: str
    value: Any


def ref(name: str) -> Tagged:
    """Return a reference to a parameter or a resource."""
    return Tagged("Ref", name)


def template() -> str:
    """Return the whole template."""
    names = {phase: permissions.policy_name(phase) for phase in permissions.phases()}
    return (
        HEAD
        + "\n".join(
            _lines(
                {
                    "AWSTemplateFormatVersion": "2010-09-09",
                    "Description": "The role as which Beta9 Provisioning works in this account, and its four policies.",
                    "Parameters": _parameters(),
                    "Conditions": {
                        "HasBoundary": _is_given("PermissionsBoundary"),
                        _BOUNDS_ROLES: _is_given(_BOUNDARY_OF_ROLES),
                    },
                    "Resources": {
                        **{name: _policy(phase, name) for phase, name in names.items()},
                        "Role": _role(list(names.values())),
                    },
                    "Outputs": {
                        "RoleArn": {
                            "Description": "What cloud.role_arn says in an environment's configuration.",
                            "Value": Tagged("GetAtt", "Role.Arn"),
                        }
                    },
                },
                "",
            )
        )
        + "\n"
    )


def _is_given(parameter: str) -> Tagged:
    return Tagged("Not", [Tagged("Equals", [ref(parameter), ""])])


def _parameters() -> dict[str, Any]:
    return {
        "ControlPlanePrincipal": {
            "Type": "String",
            "Description": "ARN of the role of the control plane's worker.",
            "AllowedPattern": trust.PRINCIPAL,
        },
        "ExternalId": {
            "Type": "String",
            "Description": "What the worker has to say to get in; of this customer alone.",
            "MinLength": trust.SHORTEST,
            "MaxLength": trust.LONGEST,
            "AllowedPattern": trust.EXTERNAL_ID,
        },
        "RoleName": {
            "Type": "String",
            "Description": "The service takes the name Beta9Provisioner only.",
            "Default": trust.ROLE_NAME,
            "AllowedPattern": trust.NAME,
        },
        "Path": {
            "Type": "String",
            "Description": "IAM path of role and policies; no part of it may begin with beta9-.",
            "Default": "/",
            "AllowedPattern": trust.PATH,
        },
        "PermissionsBoundary": {
            "Type": "String",
            "Description": "ARN of the policy that bounds the role, or nothing.",
            "Default": "",
            "AllowedPattern": trust.BOUNDARY,
        },
        _BOUNDARY_OF_ROLES: {
            "Type": "String",
            "Description": "ARN of the policy that bounds the roles it makes, or nothing.",
            "Default": "",
            "AllowedPattern": trust.BOUNDARY,
        },
        "BucketPrefix": {
            "Type": "String",
            "Description": "What data.object_store.bucket_prefix says in environments' configurations.",
            "Default": permissions.BUCKET_PREFIX,
            "AllowedPattern": trust.BUCKET_PREFIX,
        },
        "MaxSessionDuration": {
            "Type": "Number",
            "Description": "Seconds; the worker takes an hour.",
            "Default": 3600,
            "MinValue": 3600,
            "MaxValue": 43200,
        },
    }


def _policy(phase: str, name: str) -> dict[str, Any]:
    # Without description: IAM never changes one, so another text would have CloudFormation replace the policy.
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "ManagedPolicyName": name,
            "Path": ref("Path"),
            "PolicyDocument": _document(phase),
        },
    }


def _document(phase: str) -> dict[str, Any]:
    """Return a policy in which the conditions of bounded grants depend on the parameter."""
    document = permissions.policy(phase, bucket_prefix=_PREFIX)
    bounded = permissions.policy(phase, bucket_prefix=_PREFIX, boundary_of_roles=_BOUNDARY_OF_ROLES)
    for statement, other in zip(document["Statement"], bounded["Statement"], strict=True):
        if statement != other:
            otherwise = statement.get("Condition", ref("AWS::NoValue"))
            statement["Condition"] = Tagged("If", [_BOUNDS_ROLES, other["Condition"], otherwise])
    made: dict[str, Any] = _with_functions(document)
    return made


def _role(policies: list[str]) -> dict[str, Any]:
    boundary = ["HasBoundary", ref("PermissionsBoundary"), ref("AWS::NoValue")]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": ref("RoleName"),
            "Path": ref("Path"),
            "Description": "Beta9 Provisioning works in this account as this role.",
            "MaxSessionDuration": ref("MaxSessionDuration"),
            "PermissionsBoundary": Tagged("If", boundary),
            "AssumeRolePolicyDocument": trust.trust_policy(ref("ControlPlanePrincipal"), ref("ExternalId")),
            "ManagedPolicyArns": [ref(name) for name in policies],
        },
    }


def _with_functions(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_functions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_functions(item) for item in value]
    if isinstance(value, Tagged):
        return Tagged(value.tag, _with_functions(value.value)) if isinstance(value.value, list) else value
    if value == _BOUNDARY_OF_ROLES:
        return ref(value)
    return Tagged("Sub", value) if _PREFIX in str(value) else value


def _lines(value: Any, indent: str) -> Iterator[str]:
    """Yield a mapping or a list in YAML's block style."""
    is_list = isinstance(value, list)
    for key, item in ((None, each) for each in value) if is_list else value.items():
        start = "-" if is_list else f"{_scalar(key)}:"
        inner = item.value if isinstance(item, Tagged) and isinstance(item.value, list) else item
        tag = f" !{item.tag}" if inner is not item else ""
        if not isinstance(inner, dict | list):
            yield f"{indent}{start} {_scalar(inner)}"
            continue
        below = list(_lines(inner, indent + "  "))
        if is_list and not tag:
            # The first line of what is in a list stands behind its dash.
            yield f"{indent}- {below[0].removeprefix(indent + '  ')}"
            yield from below[1:]
        else:
            yield f"{indent}{start}{tag}"
            yield from below


def _scalar(value: Any) -> str:
    if isinstance(value, Tagged):
        return f"!{value.tag} {_scalar(value.value)}"
    if isinstance(value, int):
        return str(value)
    is_plain = _PLAIN.fullmatch(value) and ": " not in value and value.lower() not in _WORDS
    return value if is_plain else json.dumps(value)
