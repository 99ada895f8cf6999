"""Reads policy documents as strictly as IAM does, and bounds their size.

After "IAM JSON policy reference" and "IAM and AWS STS quotas" in the AWS IAM user guide.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud.iam.faults import malformed, syntax
from beta9_simulator.cloud.iam.statements import Kind, Statement, parse_statement
from beta9_simulator.cloud.rules import CloudError

__all__ = ["Document", "Kind", "Statement", "parse"]

CURRENT = "2012-10-17"
EARLIER = "2008-10-17"
MANAGED_POLICY_SIZE = 6144
INLINE_POLICIES_SIZE = 10240
"""Of all inline policies of one role together."""
TRUST_POLICY_SIZE = 2048

_ELEMENTS = frozenset(("Version", "Id", "Statement"))
_TEXT_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')


@dataclass(frozen=True)
class Document:
    """A policy that IAM accepts; ``size`` is what counts against the quotas."""

    kind: Kind
    version: str
    statements: tuple[Statement, ...]
    size: int

    @property
    def knows_variables(self) -> bool:
        """Whether ``${...}`` is a variable in it: earlier versions take it literally."""
        return self.version == CURRENT


def parse(text: str, kind: Kind) -> Document:
    """Read a policy. Raises ``CloudError`` (MalformedPolicyDocument) for what IAM refuses.

    A policy without version has the earlier one; of managed policies `check_managed_policy` demands the
    current one, and a boundary is always a managed policy.
    """
    written = _load(text)
    if unknown := sorted(written.keys() - _ELEMENTS):
        raise syntax(f"{unknown[0]} is no element of a policy")
    if not isinstance(written.get("Id", ""), str):
        raise syntax("Id is no text")
    version = _version(written, kind)
    value = written.get("Statement")
    statements = value if isinstance(value, list) else [value]
    if not statements:
        raise syntax("there is no statement")
    read = tuple(parse_statement(statement, kind) for statement in statements)
    sids = [statement.sid for statement in read if statement.sid]
    if len(set(sids)) < len(sids):
        raise malformed("Statement IDs (SID) in a single policy must be unique.")
    return Document(kind, version, read, size(text))


def _load(text: str) -> dict[str, Any]:
    try:
        written = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise syntax("it is no JSON") from None
    if not isinstance(written, dict):
        raise syntax("it is no JSON object")
    return written


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise syntax("a key is there twice")
    return made


def _constant(name: str) -> Any:
    raise syntax(f"{name} is no JSON")


def _version(written: dict[str, Any], kind: Kind) -> str:
    has_default = kind.has_principals or kind is Kind.IDENTITY
    version = written.get("Version", EARLIER if has_default else "")
    if version not in (CURRENT, EARLIER, ""):
        raise syntax(f"{version} is no version")
    if not version or (kind is Kind.BOUNDARY and version != CURRENT):
        raise _too_early()
    return str(version)


def _too_early() -> CloudError:
    return malformed(f"Policy document must be version {CURRENT} or greater.")


def size(text: str) -> int:
    """Count the characters of a policy; IAM does not count white space outside of texts."""
    return len(_TEXT_OR_SPACE.sub(lambda found: found[1] or "", text))


def check_managed_policy(document: Document) -> None:
    """Refuse what cannot be a managed policy. Raises ``CloudError``."""
    if document.version != CURRENT:
        raise _too_early()
    if document.size > MANAGED_POLICY_SIZE:
        raise CloudError("LimitExceeded", f"Cannot exceed quota for PolicySize: {MANAGED_POLICY_SIZE}")


def check_inline_policies(documents: Iterable[Document], role: str) -> None:
    """Refuse inline policies of a role that are too much together. Raises ``CloudError``."""
    if sum(document.size for document in documents) > INLINE_POLICIES_SIZE:
        raise CloudError(
            "LimitExceeded", f"Maximum policy size of {INLINE_POLICIES_SIZE} bytes exceeded for role {role}"
        )


def check_trust_policy(document: Document) -> None:
    """Refuse a trust policy that is too long. Raises ``CloudError``."""
    if document.size > TRUST_POLICY_SIZE:
        raise CloudError("LimitExceeded", f"Cannot exceed quota for ACLSizePerRole: {TRUST_POLICY_SIZE}")
