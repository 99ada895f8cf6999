"""Configurations for tests."""

from copy import deepcopy
from typing import Any

from beta9_provisioning.schemas.configuration import EnvironmentConfig

_SMALLEST: dict[str, Any] = {
    "name": "demo",
    "cloud": {
        "provider": "aws",
        "region": "us-east-1",
        "account_id": "123456789012",
        "role_arn": "arn:aws:iam::123456789012:role/Beta9Provisioner",
        "external_id": "b9-0123456789abcdef",
    },
    "beta9": {"domain": "beta9.example.com"},
}


def document(**changes: Any) -> dict[str, Any]:
    """Return the smallest configuration as data; a change's name is a path with `__` between its parts."""
    result = deepcopy(_SMALLEST)
    for path, value in changes.items():
        *sections, last = path.split("__")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return result


def config(**changes: Any) -> EnvironmentConfig:
    """Return the smallest configuration, changed as `document` does."""
    return EnvironmentConfig.model_validate(document(**changes))
