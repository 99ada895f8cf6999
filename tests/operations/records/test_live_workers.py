"""How many workers live, as the API tells it: from the locks of their liveness connections."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Connection, Engine, func, select
from tests.operations.rows import make_environment, take

from beta9_provisioning.environments import queries, statistics
from beta9_provisioning.kit.database import Sessions, own_connection, transaction
from beta9_provisioning.operations.records.leases import hold_liveness


@pytest.fixture
def connections(engine: Engine) -> Iterator[list[Connection]]:
    """The liveness connections of three workers."""
    with ExitStack() as stack:
        yield [stack.enter_context(own_connection(engine)) for _ in range(3)]


def counted(sessions: Sessions, environment_id: str) -> int | None:
    with sessions() as session:
        found = queries.get(session, environment_id, owner="default").live_workers
    with transaction(sessions) as session:
        assert statistics.read(session).live_workers == found
    return found


def test_nobody_could_see_that_no_worker_was_running(
    sessions: Sessions, connections: list[Connection]
) -> None:
    made = make_environment(sessions)
    assert counted(sessions, made.environment_id) == 0
    for number, connection in enumerate(connections, 1):
        for _beat in range(2):
            assert hold_liveness(connection, number)
        assert counted(sessions, made.environment_id) == number
    connections[0].invalidate()  # as when its process dies
    connections[0].close()
    assert counted(sessions, made.environment_id) == 2


def test_a_busy_worker_of_the_release_before_counts(
    sessions: Sessions, connections: list[Connection]
) -> None:
    """It holds its own lock alone, which is known from its attempt."""
    made = make_environment(sessions)
    take(sessions, made.operation_id, liveness_key=7)
    connections[0].scalar(select(func.pg_try_advisory_lock(7)))
    assert counted(sessions, made.environment_id) == 1
