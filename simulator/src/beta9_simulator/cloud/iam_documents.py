"""Whether a policy document can be read at all."""

import json
from typing import Literal

from beta9_simulator.cloud.rules import CloudError

Kind = Literal["trust", "identity"]
"""What a document is: a role's trust policy, or one that says what an identity may do."""


def check(text: str, kind: Kind) -> None:
    """Raise ``CloudError`` (MalformedPolicyDocument) unless a document is a JSON object with statements."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    statements = document.get("Statement") if isinstance(document, dict) else None
    if not isinstance(statements, dict | list) or not statements:
        what = "trust policy" if kind == "trust" else "policy"
        raise CloudError("MalformedPolicyDocument", f"Syntax errors in policy: the {what} has no statements.")
