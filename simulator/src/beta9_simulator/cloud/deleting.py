"""Deletes, at both doors: what is refused, and what ends with it."""

from beta9_simulator.cloud import behaviours, rules
from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import Store, StoredObject

_DELETE = 2
_CLUSTER = "aws_eks_cluster"


def delete(store: Store, found: StoredObject) -> None:
    """Start to delete an object of a type that stacks have, with what ends with it.

    Raises ``CloudError`` when it is protected or in use.
    """
    entry = catalog()[found.type]
    if entry.protected_by and found.state.get(entry.protected_by) and not _is_unfinished(found):
        raise CloudError(
            "InvalidRequestException" if found.type == _CLUSTER else "InvalidParameterCombination",
            f"Cannot delete {found.name}: {entry.protected_by} is on. Switch it off and try again.",
        )
    seconds = entry.latency[_DELETE] * store.time_scale
    store.delete(found, seconds, lambda: rules.check_delete(store, found))
    if found.type in behaviours.DELETED:
        behaviours.DELETED[found.type](store, found)
    for link in entry.cascade:
        for other in list(rules.linked(store, found, link)):
            store.delete(other, seconds)


def _is_unfinished(found: StoredObject) -> bool:
    """EKS deletes what is being made or failed though protected: "Protect EKS clusters" in its guide."""
    return found.type == _CLUSTER and (found.status == "creating" or bool(found.state.get("failed")))
