"""Identifiers of environments."""

import re

from beta9_provisioning.kit.ids import new_id, pattern

_PREFIX = "env"
PATTERN = pattern(_PREFIX)
"""Regular expression that every identifier of an environment matches."""
FORM = re.compile(PATTERN)
"""The same, compiled."""


def new() -> str:
    """Return a new identifier."""
    return new_id(_PREFIX)


def is_id(value: str) -> bool:
    """Tell whether a text has the form of an identifier; one that has not need not be looked up."""
    return FORM.fullmatch(value) is not None
