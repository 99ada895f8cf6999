"""What a read of an object shows, depending on what is going on with it."""

from typing import Any

from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.store import StoredObject


def current(target: StoredObject) -> dict[str, Any]:
    """Return an object's attributes as the cloud shows them now.

    The status attribute follows the clock, and what only a finished object has (a cluster's endpoint) is
    missing while it is being created.
    """
    entry = catalog()[target.type]
    state = dict(target.state)
    if entry.status:
        state[entry.status["attribute"]] = entry.status[target.status]
    if target.status == "creating":
        for key in entry.late:
            state[key] = [] if isinstance(state.get(key), list) else None
    return state


def read_back(target: StoredObject, known: dict[str, Any]) -> dict[str, Any]:
    """Return what a read makes of an object: what the cloud never returns keeps its ``known`` value."""
    kept = (*catalog()[target.type].unread, "timeouts")
    return {**current(target), **{key: known[key] for key in kept if key in known}}
