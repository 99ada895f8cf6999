"""A worker that is told to stop while its database is away."""

import signal
import threading
from pathlib import Path

import pytest
from tests.operations.rows import make_environment, operation
from tests.support.proxy import proxy_to
from tests.support.waiting import GUARD_SECONDS, until
from tests.worker.rig import Work, nothing
from tests.worker.test_main import Process

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.kit.database import Sessions, connect
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.operations.run.runner import Runner
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.settings import Settings
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


def test_an_idle_worker_stops_while_the_database_is_silent_and_is_not_told_to_be_started_again(
    settings: Settings, tmp_path: Path
) -> None:
    with proxy_to(settings.database_url) as proxy:
        silent = settings.model_copy(update={"database_url": proxy.url})
        process = Process(silent, tmp_path, variables={"RECONCILE_SECONDS": "0.1", "LEASE_SECONDS": "20"})
        try:
            until(lambda: process.logged("worker_started"), "the worker has started")
            proxy.freeze()
            until(lambda: proxy.held >= 2, "heartbeat and reconciler wait for the database")
            process.child.send_signal(signal.SIGTERM)
            ended = process.child.wait(GUARD_SECONDS)
        finally:
            process.child.kill()
            process.child.wait()
            proxy.heal()
    assert ended == 0
    assert process.logged("worker_stopped")
    assert "Start it again" not in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("first", [StopReason.CANCELLED, StopReason.WORKER_STOPPED])
def test_a_lost_lease_outranks_what_was_asked_before(first: StopReason) -> None:
    stop = Stop()
    stop.request(first)
    stop.request(StopReason.LEASE_LOST)
    stop.request(first)
    assert stop.reason is StopReason.LEASE_LOST
