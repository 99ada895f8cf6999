"""Deletes at the AWS API's door: the same refusals and consequences as at Terraform's."""

from beta9_simulator.cloud import behaviours, rules
from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import Store, StoredObject

_DELETE = 2


def delete(store: Store, found: StoredObject) -> None:
    """Start to delete an object of a type that stacks have, with what ends with it.

    Raises ``CloudError`` when it is protected or in use.
    """
    entry = catalog()[found.type]
    if entry.protected_by and found.state.get(entry.protected_by):
        raise CloudError(
            "InvalidParameterCombination",
            f"Cannot delete {found.name}: {entry.protected_by} is on. Switch it off and try again.",
        )
    seconds = entry.latency[_DELETE] * store.time_scale
    store.delete(found, seconds, lambda: rules.check_delete(store, found))
    if found.type in behaviours.DELETED:
        behaviours.DELETED[found.type](store, found)
    for link in entry.cascade:
        for other in list(rules.linked(store, found, link)):
            store.delete(other, seconds)
