"""What is left in the simulated cloud, over all accounts: did a destroy leave anything behind?"""

from beta9_simulator.cloud.store import Store, StoredObject

SEEDED = "seed"


def inventory(store: Store) -> list[StoredObject]:
    """Return every object of every account that was made since the cloud was seeded, oldest first.

    Objects that are being deleted still count. Buckets are among them, whichever door made them.
    """
    return [item for item in store.find() if item.origin != SEEDED]


def bucket_objects(store: Store) -> dict[str, int]:
    """Return how many object versions each non-empty bucket holds, as the API door last saw it."""
    rows = store.execute("select bucket, objects from bucket_contents where objects>0 order by bucket")
    return {str(bucket): int(held) for bucket, held in rows}
