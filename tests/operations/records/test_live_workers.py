"""How many workers live, as the API tells it: from the locks of their liveness connections."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Connection, Engine, func, select
from tests.operations.rows import make_environment, take
from tests.support.waiting import until

from beta9_provisioning.environments import queries, statistics
from beta9_provisioning.kit.database import Sessions, own_connection, transaction
from beta9_provisioning.operations.records.leases import hold_liveness


@pytest.fixture
def connections(engine: Engine, sessions: Sessions) -> Iterator[list[Connection]]:
    """The liveness connections of three workers; those of tests before are gone."""
    until(lambda: living(sessions) == 0, "the server has noticed who left")
    with ExitStack() as stack:
        yield [stack.enter_context(own_connection(engine)) for _ in range(3)]


def living(sessions: Sessions) -> int:
    with transaction(sessions) as session:
        return statistics.read(session).live_workers


def counted(sessions: Sessions, environment_id: str) -> int | None:
    with sessions() as session:
        found = queries.get(session, environment_id, owner="default").live_workers
    assert living(sessions) == found
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
    until(lambda: living(sessions) == 2, "the server has noticed")
    assert counted(sessions, made.environment_id) == 2


def test_a_busy_worker_of_the_release_before_counts(
    sessions: Sessions, connections: list[Connection]
) -> None:
    """It holds its own lock alone, which is known from its attempt."""
    made = make_environment(sessions)
    take(sessions, made.operation_id, liveness_key=7)
    connections[0].scalar(select(func.pg_try_advisory_lock(7)))
    assert counted(sessions, made.environment_id) == 1
