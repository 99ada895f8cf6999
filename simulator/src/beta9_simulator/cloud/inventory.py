"""What is left in the simulated cloud, over all accounts: did a destroy leave anything behind?"""

from beta9_simulator.cloud.controllers import LOAD_BALANCER, VOLUME
from beta9_simulator.cloud.store import Store, StoredObject

SEEDED = "seed"
KEPT = "snapshot"
"""Of what somebody wanted to outlive its environment."""


def inventory(store: Store) -> list[StoredObject]:
    """Return every object of every account that was made since the cloud was seeded, oldest first.

    Objects that are being deleted still count. Buckets are among them, whichever door made them, and what
    AWS's services and the clusters' controllers made by themselves.
    """
    return [item for item in store.find() if item.origin not in (SEEDED, KEPT)]


def made_by_clusters(store: Store) -> list[StoredObject]:
    """Return the load balancers and volumes that clusters made, past ones included."""
    return [item for item in inventory(store) if item.type in (LOAD_BALANCER, VOLUME)]


def bucket_objects(store: Store) -> dict[str, int]:
    """Return how many object versions each non-empty bucket holds, as the API door last saw it."""
    rows = store.execute("select bucket, objects from bucket_contents where objects>0 order by bucket")
    return {str(bucket): int(held) for bucket, held in rows}
