"""Evaluates role trust policies for AssumeRole, after "Policy evaluation logic" in the AWS IAM user guide."""

from beta9_simulator.cloud.iam.documents import Kind, parse
from beta9_simulator.cloud.iam.evaluation import Asked, Caller, matches_role
from beta9_simulator.cloud.rules import CloudError

ASSUME = "sts:AssumeRole"

# "Actions, resources, and condition keys for AWS Security Token Service", service authorization reference.
_KEYS = frozenset(
    {
        "aws:requesttag/",
        "aws:resourcetag/",
        "aws:tagkeys",
        "iam:resourcetag/",
        "sts:externalid",
        "sts:rolesessionname",
        "sts:sourceidentity",
        "sts:transitivetagkeys",
    }
)


def allows(
    policy: str,
    *,
    caller: str,
    account: str,
    external_id: str | None,
    session: str = "",
    session_name: str = "",
) -> bool:
    """Whether a trust policy (JSON text) lets ``caller`` assume the role.

    ``caller`` is the ARN of a user or a role, ``account`` the account it belongs to, ``session`` the ARN of a
    role's session, ``session_name`` the name of the one to come. An explicit Deny wins. A policy that IAM
    would refuse allows nothing. Raises ``UnknownConditionKey`` for a key that no such request has.
    """
    try:
        document = parse(policy, Kind.TRUST)
    except CloudError:
        return False
    context: dict[str, str | tuple[str, ...]] = {}
    if external_id is not None:
        context["sts:ExternalId"] = external_id
    if session_name:
        context["sts:RoleSessionName"] = session_name
    who = Caller(arn=session or caller, account=account, role_arn=caller if session else "")
    return matches_role(document, Asked(ASSUME, "*", context, _KEYS), who).is_allowed
