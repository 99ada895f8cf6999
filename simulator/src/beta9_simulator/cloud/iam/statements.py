"""One statement of a policy, and the grammar of its elements.

After "IAM JSON policy elements" and "Grammar of the IAM JSON policy language" in the AWS IAM user guide. What
IAM says of faults is after the issues of https://github.com/hashicorp/terraform-provider-aws, and after
https://github.com/getmoto/moto/blob/master/tests/test_iam/test_iam_policies.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from beta9_simulator.cloud.iam.conditions import Condition, parse_conditions
from beta9_simulator.cloud.iam.faults import malformed, syntax


class Kind(Enum):
    """What a policy is attached to, which decides about its grammar."""

    IDENTITY = "an identity-based policy"
    RESOURCE = "a resource-based policy"
    TRUST = "the role trust policy"
    BOUNDARY = "a permissions boundary"
    SESSION = "a session policy"

    @property
    def has_principals(self) -> bool:
        """Whether its statements say whom they are about."""
        return self in (Kind.RESOURCE, Kind.TRUST)


@dataclass(frozen=True)
class Named:
    """The texts of ``Action`` or ``Resource``; all others are meant when ``is_except``."""

    texts: tuple[str, ...]
    is_except: bool = False


@dataclass(frozen=True)
class Principals:
    """Whom a statement is about; all others are meant when ``is_except``. ``*`` is among ``aws``."""

    aws: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    is_except: bool = False


@dataclass(frozen=True)
class Statement:
    """One statement; ``resources`` is None in trust policies, ``principals`` where there can be none."""

    sid: str
    is_allow: bool
    actions: Named
    resources: Named | None
    principals: Principals | None
    conditions: tuple[Condition, ...]


_ELEMENTS = frozenset(
    (
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    )
)
_TYPES = ("AWS", "Service", "Federated", "CanonicalUser")
_SID = re.compile(r"[0-9A-Za-z]*")
_VENDOR = re.compile(r"[a-zA-Z0-9.-]+")
_IAM_PATHS = (
    *("user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/"),
    *("policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/"),
)
_PARTITION = re.compile(r"aws(-[a-z]+)*|\*")
# An ARN, an account, or the unique id that IAM puts in the place of an ARN.
_PRINCIPAL = re.compile(r"\*|\d+|arn:aws[a-z-]*:(iam|sts)::\d+:[^*?]+|A[A-Z]{3}[A-Z0-9]+")


def parse_statement(written: Any, kind: Kind) -> Statement:
    """Read one statement. Raises ``CloudError`` for what IAM refuses."""
    if not isinstance(written, dict):
        raise syntax("a statement is no object")
    if unknown := sorted(written.keys() - _ELEMENTS):
        raise syntax(f"{unknown[0]} is no element of a statement")
    if written.get("Effect") not in ("Allow", "Deny"):
        raise syntax("Effect has to be Allow or Deny")
    return Statement(
        sid=_sid(written.get("Sid", ""), kind),
        is_allow=written["Effect"] == "Allow",
        actions=_actions(written, kind),
        resources=_resources(written, kind),
        principals=_principals(written, kind),
        conditions=parse_conditions(written.get("Condition", {})),
    )


def _sid(sid: Any, kind: Kind) -> str:
    if not isinstance(sid, str):
        raise syntax("Sid is no text")
    # Services whose resources have policies let more signs pass.
    if kind is not Kind.RESOURCE and not _SID.fullmatch(sid):
        raise malformed(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular "
            "expression [0-9A-Za-z]*"
        )
    return sid


def _one_of(written: Mapping[str, Any], element: str) -> tuple[Any, bool] | None:
    """Return what is written in an element or its opposite, and whether it is the opposite."""
    found = [name for name in (element, f"Not{element}") if name in written]
    if len(found) > 1:
        raise syntax(f"{element} and Not{element} exclude each other")
    return (written[found[0]], found[0] != element) if found else None


def _texts(value: Any) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise syntax("a text or a list of texts is wanted")
    return tuple(texts)


def _actions(written: Mapping[str, Any], kind: Kind) -> Named:
    found = _one_of(written, "Action")
    actions = Named(_texts(found[0]), found[1]) if found else Named(())
    if not actions.texts:
        raise malformed("Policy statement must contain actions.")
    for action in actions.texts:
        _check_action(action)
        if kind is Kind.TRUST and not action.lower().startswith("sts:"):
            raise malformed("AssumeRole policy may only specify STS AssumeRole actions.")
    return actions


def _check_action(action: str) -> None:
    if action == "*":
        return
    vendor, colon, name = action.partition(":")
    if not colon:
        raise malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    if ":" in name:
        raise malformed("Actions/Condition can contain only one colon.")
    if not _VENDOR.fullmatch(vendor):
        raise malformed(f"Vendor {vendor} is not valid")


def _resources(written: Mapping[str, Any], kind: Kind) -> Named | None:
    found = _one_of(written, "Resource")
    if kind is Kind.TRUST:
        if found:
            raise malformed("Has prohibited field Resource.")
        return None
    resources = Named(_texts(found[0]), found[1]) if found else Named(())
    if not resources.texts:
        raise malformed("Policy statement must contain resources.")
    for resource in resources.texts:
        _check_resource(resource)
    return resources


def _check_resource(resource: str) -> None:
    if resource == "*":
        return
    parts = resource.split(":", 5)
    if parts[0] != "arn" or len(parts) == 1:
        raise malformed(f'Resource {resource} must be in ARN format or "*".')
    if not _PARTITION.fullmatch(parts[1]):
        raise malformed(f'Partition "{parts[1]}" is not valid for resource "{resource}".')
    if len(parts) == 2 or "*" in parts[2] or "?" in parts[2]:
        raise malformed("Resource vendor must be fully qualified and cannot contain regexes.")
    # An asterisk at the end stands for the parts that are missing.
    if not parts[2] or (len(parts) < 6 and not resource.endswith("*")):
        raise malformed("The policy failed legacy parsing")
    if parts[2] == "iam":
        _check_iam_resource(resource, parts)


def _check_iam_resource(resource: str, parts: list[str]) -> None:
    if parts[3:4] != [""]:
        raise malformed(f"IAM resource {resource} cannot contain region information.")
    path = parts[-1] if len(parts) == 6 else ""
    if path != "*" and not path.startswith(_IAM_PATHS):
        raise malformed(
            f'IAM resource path must either be "*" or start with {", ".join(_IAM_PATHS)}.',
        )


def _principals(written: Mapping[str, Any], kind: Kind) -> Principals | None:
    found = _one_of(written, "Principal")
    if not kind.has_principals:
        if found:
            raise malformed("Policy document should not specify a principal.")
        return None
    if found is None:
        raise malformed("Missing required field Principal")
    value, is_except = found
    if value == "*":
        return Principals(aws=("*",), is_except=is_except)
    if not isinstance(value, dict) or not value or value.keys() - set(_TYPES):
        raise malformed("Invalid principal in policy")
    texts = {type_: _texts(names) for type_, names in value.items()}
    for type_, names in texts.items():
        if not names:
            raise malformed("Invalid principal in policy: the statement has no principals")
        for name in names:
            if type_ == "AWS" and not _PRINCIPAL.fullmatch(name):
                raise malformed(f'Invalid principal in policy: "AWS":"{name}"')
    return Principals(
        texts.get("AWS", ()), texts.get("Service", ()), texts.get("Federated", ()), is_except=is_except
    )
