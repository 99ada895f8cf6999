"""Whom the role lets in, and what its parameters may be: the same for the template, the module and the script."""

from typing import Any

ROLE_NAME = "Beta9Provisioner"
PRINCIPAL = r"arn:aws:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+"
EXTERNAL_ID = r"[A-Za-z0-9_+=,.@:/-]+"
SHORTEST, LONGEST = 8, 1224
"""Characters of an external ID: what can be guessed is none, and what AWS takes."""
# The role may change roles in `role/beta9-*`, where `*` takes slashes, too: it must not be one of them itself.
NAME = r"(?!beta9-)[A-Za-z0-9_+=,.@-]{1,64}"
PATH = r"/((?!beta9-)[!-.0-~]+/)*"
BOUNDARY = r"(arn:aws:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]+)?"
BUCKET_PREFIX = r"[a-z0-9][a-z0-9-]{1,28}[a-z0-9]"


def trust_policy(principal: Any, external_id: Any) -> dict[str, Any]:
    """Return the trust policy; both may be references in a template.

    Two statements: AWS's reference does not know `sts:ExternalId` for `sts:TagSession`, which lets in nobody by itself.
    """
    let_in = {"Effect": "Allow", "Principal": {"AWS": principal}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                **let_in,
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
            },
            {**let_in, "Action": "sts:TagSession"},
        ],
    }
