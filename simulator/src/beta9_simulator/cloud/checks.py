"""What the cloud refuses beyond the catalog's data, by resource type: one module for each service.

``_CREATE`` judges a new object, ``_UPDATE`` a change of one that exists, in the transaction of the write.
``_DEMANDED`` judges both before that, by what Terraform's configuration says: write-only values are nowhere
else. ``_FAILED`` looks at what was made when its time is over: some creations are accepted and fail later.
"""

from collections.abc import Callable, Mapping
from typing import Any

from beta9_simulator.cloud import (
    cache_rules,
    eks_rules,
    iam_limits,
    iam_rules,
    network_rules,
    node_rules,
    quotas,
    rds_rules,
    rules,
    secret_rules,
)
from beta9_simulator.cloud.demand import Demand, Rule
from beta9_simulator.cloud.store import NewObject, Store, StoredObject

State = dict[str, Any]
_CREATE: Mapping[str, tuple[Callable[[Store, NewObject], None], ...]] = {
    "aws_db_subnet_group": (network_rules.database_subnets,),
    "aws_eks_addon": (eks_rules.add_on,),
    "aws_eks_cluster": (eks_rules.cluster,),
    "aws_eks_node_group": (node_rules.node_group,),
    "aws_elasticache_subnet_group": (network_rules.cache_subnets,),
    "aws_iam_role_policy_attachment": (iam_rules.attachment,),
    "aws_subnet": (network_rules.subnet,),
}
_UPDATE: Mapping[str, tuple[Callable[[Store, StoredObject, State], None], ...]] = {
    "aws_eks_addon": (eks_rules.add_on_update,),
    "aws_eks_cluster": (eks_rules.cluster_update,),
}
_DEMANDED: Mapping[str, Rule] = {**rds_rules.RULES, **cache_rules.RULES, **secret_rules.RULES}
_FAILED: Mapping[str, Callable[[Store, StoredObject], str]] = {"aws_eks_node_group": node_rules.failure}


def check_demand(type: str, demand: Demand) -> None:
    """Raise ``CloudError`` when the cloud refuses a create or a change."""
    if type in _DEMANDED:
        _DEMANDED[type](demand)


def create_seconds(type: str, state: Mapping[str, Any]) -> float | None:
    """Return how long a create takes where that depends on what is made; None leaves it to the catalog."""
    return rds_rules.create_seconds(state) if type == "aws_db_instance" else None


def check_create(store: Store, new: NewObject) -> None:
    """Raise ``CloudError`` when the cloud refuses a new object."""
    rules.check_create(store, new)
    quotas.check(store, new)
    iam_rules.tags(new.type, new.state)
    iam_limits.check(store, new.account, new.type, new.state)
    for check in _CREATE.get(new.type, ()):
        check(store, new)


def check_update(store: Store, found: StoredObject, state: State) -> None:
    """Raise ``CloudError`` when the cloud refuses a change."""
    iam_rules.tags(found.type, state)
    iam_limits.check(store, found.account, found.type, state)
    for check in _UPDATE.get(found.type, ()):
        check(store, found, state)


def failure(store: Store, made: StoredObject) -> str:
    """Return why an object that was accepted could not be made after all; empty when it could."""
    judge = _FAILED.get(made.type)
    return judge(store, made) if judge is not None else ""


def remembered(type_: str, state: State) -> State:
    """Return what the cloud keeps of a request although no read ever tells it."""
    if type_ != "aws_eks_cluster":
        return {}
    return {"self_managed_add_ons": state["bootstrap_self_managed_addons"] is not False}
