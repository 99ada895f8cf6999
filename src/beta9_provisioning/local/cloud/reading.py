"""What a read of an object shows, depending on what is going on with it."""

from typing import Any

from beta9_provisioning.local.cloud.catalog import catalog
from beta9_provisioning.local.cloud.store import StoredObject


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
