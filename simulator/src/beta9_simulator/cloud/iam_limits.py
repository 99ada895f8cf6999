"""How long IAM's policies may be, and how many a role may have, at both doors.

The figures are the defaults of "IAM and AWS STS quotas" in the IAM user guide, which says there that white
space does not count.
"""

from typing import Any

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, Store

_TRUST_POLICY = 2048
_MANAGED_POLICY = 6144
_INLINE_POLICIES = 10240
_ATTACHED = 10
TAGS = 50


def check(store: Store, account: str, type_: str, state: dict[str, Any]) -> None:
    """Raise ``CloudError`` (LimitExceeded) when what shall be made, or become of it, is too much for IAM."""
    if type_ == "aws_iam_role":
        _within(_length(state.get("assume_role_policy")), _TRUST_POLICY, "ACLSizePerRole")
    elif type_ == "aws_iam_policy":
        _within(_length(state.get("policy")), _MANAGED_POLICY, "PolicySize")
    elif type_ == "aws_iam_role_policy":
        total = _length(state.get("policy")) + sum(
            _length(other["policy"]) for other in _others(store, account, type_, state)
        )
        if total > _INLINE_POLICIES:
            raise CloudError(
                "LimitExceeded",
                f"Maximum policy size of {_INLINE_POLICIES} bytes exceeded for role {state['role']}",
            )
    elif type_ == "aws_iam_role_policy_attachment":
        _within(1 + len(_others(store, account, type_, state)), _ATTACHED, "PoliciesPerRole")


def _within(amount: int, most: int, quota: str) -> None:
    if amount > most:
        raise CloudError("LimitExceeded", f"Cannot exceed quota for {quota}: {most}")


def _length(document: Any) -> int:
    return len("".join(str(document or "").split()))


def _others(store: Store, account: str, type_: str, state: dict[str, Any]) -> list[dict[str, Any]]:
    found = store.find(type_, account=account, region=GLOBAL)
    return [
        one.state
        for one in found
        if one.state["role"] == state["role"] and one.id != state["id"] and one.status != "deleting"
    ]
