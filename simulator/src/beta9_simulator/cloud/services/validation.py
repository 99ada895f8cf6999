"""What IAM says of parameters that its service model does not allow: lengths, patterns, ranges.

IAM alone: its model, which botocore carries, names the same constraints as its API reference. Texts after
"Common Errors" there (ValidationError).
"""

import re
from typing import Any

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.wire import Call


def check(call: Call) -> None:
    """Raise ``CloudError`` (ValidationError) for the first parameter of a call of IAM that breaks a rule."""
    if call.service != "iam" or call.model.input_shape is None:
        return
    shape = call.model.input_shape
    for name in shape.required_members:
        if call.params.get(name) is None:
            raise _invalid(name, "Member must not be null")
    for name, member in shape.members.items():
        value = call.params.get(name)
        if value is not None:
            _check(name, value, member)


def _check(name: str, value: Any, shape: Any) -> None:
    rules = shape.metadata
    if "enum" in rules and value not in rules["enum"]:
        raise _invalid(name, f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]")
    if shape.type_name == "list":
        for item in value:
            _check(name, item, shape.member)
    is_number = shape.type_name == "integer"
    what, amount = ("value", int(value)) if is_number else ("length", _length(value))
    if amount < rules.get("min", amount):
        raise _invalid(name, f"Member must have {what} greater than or equal to {rules['min']}")
    if amount > rules.get("max", amount):
        raise _invalid(name, f"Member must have {what} less than or equal to {rules['max']}")
    pattern = rules.get("pattern", "")
    # Python's patterns have no \p; those of IAM that have it are of tags, which `iam_rules` judges.
    if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, str(value), re.ASCII):
        raise _invalid(name, f"Member must satisfy regular expression pattern: {pattern}")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list) else 0


def _invalid(name: str, why: str) -> CloudError:
    member = name[0].lower() + name[1:]
    return CloudError(
        "ValidationError",
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: {why}",
    )
