"""What IAM refuses of policies: how they are written, how long they are, how many a role has; at both doors.

The figures are the defaults of "IAM and AWS STS quotas" in the IAM user guide.
"""

from typing import Any

from beta9_simulator.cloud.iam.documents import (
    Document,
    Kind,
    check_inline_policies,
    check_managed_policy,
    check_trust_policy,
    parse,
)
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, Store

_ATTACHED = 10
TAGS = 50


def check(store: Store, account: str, type_: str, state: dict[str, Any]) -> None:
    """Refuse a policy, or an attachment, that is about to be made or changed.

    Raises ``CloudError``: MalformedPolicyDocument, or LimitExceeded when it is too much for IAM.
    """
    if type_ == "aws_iam_role":
        check_trust_policy(parse(str(state.get("assume_role_policy")), Kind.TRUST))
    elif type_ == "aws_iam_policy":
        check_managed_policy(parse(str(state.get("policy")), Kind.IDENTITY))
    elif type_ == "aws_iam_role_policy":
        others = [_inline(other) for other in _others(store, account, type_, state)]
        check_inline_policies([_inline(state), *others], str(state["role"]))
    elif (
        type_ == "aws_iam_role_policy_attachment" and len(_others(store, account, type_, state)) >= _ATTACHED
    ):
        raise CloudError("LimitExceeded", f"Cannot exceed quota for PoliciesPerRole: {_ATTACHED}")


def _inline(state: dict[str, Any]) -> Document:
    return parse(str(state.get("policy")), Kind.IDENTITY)


def _others(store: Store, account: str, type_: str, state: dict[str, Any]) -> list[dict[str, Any]]:
    found = store.find(type_, account=account, region=GLOBAL)
    return [
        one.state
        for one in found
        if one.state["role"] == state["role"] and one.id != state["id"] and one.status != "deleting"
    ]
