"""A worker that is told to stop while its database is away."""

import threading

import pytest
from tests.operations.rows import make_environment, operation
from tests.support.waiting import GUARD_SECONDS, until
from tests.worker.proxy import proxy_to
from tests.worker.rig import Work, nothing

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.kit.database import Sessions, connect
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import Queue
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.operations.run.runner import Runner
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.actors import ACTOR
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.worker import Worker

LEASE_SECONDS = 3.0


def test_a_worker_told_to_stop_while_the_database_is_away_stops_with_its_lease(
    sessions: Sessions, queue: Queue, settings: Settings, database_url: str
) -> None:
    made = make_environment(sessions)
    work = Work()
    work.hold_back(Kind.PROVISION)
    with proxy_to(database_url) as proxy:
        distant = connect(proxy.url)
        factory = session_factory(distant)
        runner = Runner(factory, settings, new_synthesizer(), work.workflow_of)
        worker = Worker(
            distant,
            factory,
            queue,
            runner,
            Metrics(),
            actor=ACTOR,
            lease_seconds=LEASE_SECONDS,
            give_up=nothing,
        )
        worker.heartbeat.start()
        thread = threading.Thread(target=worker.run, args=(made.operation_id,), daemon=True)
        thread.start()
        until(lambda: work.count(Kind.PROVISION) == 1, "the create runs")
        proxy.cut()
        worker.shut_down()
        thread.join(GUARD_SECONDS)
        assert not thread.is_alive()
        worker.heartbeat.stop()
        distant.dispose()
    # It wrote nothing: whoever takes the operation over tells what became of it.
    assert operation(sessions, made.operation_id).status == "planning"


@pytest.mark.parametrize("first", [StopReason.CANCELLED, StopReason.WORKER_STOPPED])
def test_a_lost_lease_outranks_what_was_asked_before(first: StopReason) -> None:
    stop = Stop()
    stop.request(first)
    stop.request(StopReason.LEASE_LOST)
    stop.request(first)
    assert stop.reason is StopReason.LEASE_LOST
