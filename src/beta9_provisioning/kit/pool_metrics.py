"""How many connections of an engine's pool are in use, as metrics."""

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from beta9_provisioning.kit.gauges import summed_gauge


def count_connections(engine: Engine, registry: CollectorRegistry) -> None:
    """Tell in two gauges how many connections the engine's pool has given away, and how many it may.

    Several processes that count together add up. A connection that left the pool is not counted any more.
    """
    assert isinstance(engine.pool, QueuePool)
    in_use = summed_gauge(
        "provisioning_database_connections_in_use",
        "Connections to the database that are in use now.",
        registry,
    )
    most = summed_gauge(
        "provisioning_database_connections_max",
        "Connections to the database that may be in use at the same time; whoever needs another one waits.",
        registry,
    )
    most.set(engine.pool.size())
    held: set[ConnectionPoolEntry] = set()

    # After the listener that looks whether the connection is fit: one that is not is given to nobody.
    @event.listens_for(engine, "checkout")
    def given(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record not in held:
            held.add(record)
            in_use.inc()

    def returned(_connection: object, record: ConnectionPoolEntry) -> None:
        # A connection that was lost before it was given to anybody comes back all the same.
        if record in held:
            held.remove(record)
            in_use.dec()

    event.listen(engine, "checkin", returned)
    event.listen(engine, "detach", returned)
