"""What IAM refuses: tags of a wrong form, tags twice, and AWS's own policies that do not exist."""

import re
import unicodedata
from typing import Any

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store

# Those of AWS's managed policies that a stack like ours attaches: "AWS managed policy reference guide".
_MANAGED = frozenset(
    {
        "AmazonEBSCSIDriverPolicyV2",
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEC2ContainerRegistryReadOnly",
        "AmazonEKSBlockStoragePolicy",
        "AmazonEKSClusterPolicy",
        "AmazonEKSComputePolicy",
        "AmazonEKSLoadBalancingPolicy",
        "AmazonEKSNetworkingPolicy",
        "AmazonEKSServicePolicy",
        "AmazonEKSVPCResourceController",
        "AmazonEKSWorkerNodeMinimalPolicy",
        "AmazonEKSWorkerNodePolicy",
        "AmazonEKS_CNI_Policy",
        "AmazonSSMManagedInstanceCore",
        "CloudWatchAgentServerPolicy",
        "ReadOnlyAccess",
        "service-role/AmazonEBSCSIDriverPolicy",
        "service-role/AmazonRDSEnhancedMonitoringRole",
    }
)
_OF_AWS = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/(.+)")
_TAG_SIGNS = "_.:/=+-@"


def attachment(_store: Store, new: NewObject) -> None:
    """Refuse a policy of AWS that does not exist under that path and name."""
    arn = str(new.state["policy_arn"])
    if _OF_AWS.fullmatch(arn) and not is_managed_by_aws(arn):
        raise CloudError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")


def is_managed_by_aws(arn: str) -> bool:
    """Whether an ARN is that of one of AWS's own policies, as far as this cloud knows them."""
    found = _OF_AWS.fullmatch(arn)
    return found is not None and found[1] in _MANAGED


def tags(type_: str, state: dict[str, Any]) -> None:
    """Refuse tags that a service does not take; IAM is the strictest, and tells no case in keys."""
    given: dict[str, str] = state.get("tags_all") or state.get("tags") or {}
    for key in given:
        if key.lower().startswith("aws:"):
            raise CloudError(
                "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"
            )
    if not type_.startswith("aws_iam_"):
        return
    if len({key.casefold() for key in given}) < len(given):
        raise CloudError(
            "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    for number, (key, value) in enumerate(sorted(given.items()), start=1):
        for part, text in (("key", key), ("value", value)):
            if not all(_may_be_in_a_tag(character) for character in text):
                raise CloudError(
                    "ValidationError",
                    f"1 validation error detected: Value at 'tags.{number}.member.{part}' failed to "
                    "satisfy constraint: Member must satisfy regular expression pattern: "
                    r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*",
                )


def _may_be_in_a_tag(character: str) -> bool:
    return character in _TAG_SIGNS or unicodedata.category(character)[0] in "LZN"


def policies_of(store: Store, account: str, role_arn: str) -> set[str]:
    """Return the ARNs of the policies that are attached to a role."""
    names = {
        role.name for role in store.find("aws_iam_role", account=account) if role.state["arn"] == role_arn
    }
    return {
        item.state["policy_arn"]
        for item in store.find("aws_iam_role_policy_attachment", account=account)
        if item.state["role"] in names
    }
