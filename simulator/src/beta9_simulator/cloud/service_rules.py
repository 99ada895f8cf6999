"""The rules of all services that refuse more than the catalog's data can say, by type."""

from collections.abc import Mapping

from beta9_simulator.cloud import cache_rules, rds_rules, secret_rules
from beta9_simulator.cloud.demand import Demand, Rule, State

_RULES: Mapping[str, Rule] = {**rds_rules.RULES, **cache_rules.RULES, **secret_rules.RULES}


def check(type: str, demand: Demand) -> None:
    """Raise ``CloudError`` when the type's service refuses a create or a change."""
    if type in _RULES:
        _RULES[type](demand)


def create_seconds(type: str, state: State) -> float | None:
    """Return how long a create takes where that depends on what is made; None leaves it to the catalog."""
    return rds_rules.create_seconds(state) if type == "aws_db_instance" else None
