"""Background threads meet what nobody expected: they go on and are counted, or the process ends."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker
from tests.operations.rows import events, make_environment, take
from tests.support.background import failures
from tests.support.proxy import proxy_to
from tests.support.refusals import refusing
from tests.support.waiting import until
from tests.worker.rig import Work, attempt, consuming, experienced, hints, make_worker, nothing, wait_long_ago
from tests.worker.test_main import Process

from beta9_provisioning.api.hints import Hints
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.heartbeat import Heartbeat
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.reconciler import Reconciler

LEASE = 2.4


class Failing(sessionmaker[Session]):
    """A session factory that runs out of memory for the first so many times."""

    def __init__(self, engine: Engine, times: float) -> None:
        super().__init__(engine, expire_on_commit=False)
        self.left = times

    def __call__(self, **local: Any) -> Session:
        if self.left > 0:
            self.left -= 1
            raise MemoryError
        return super().__call__(**local)


def test_the_heartbeat_goes_on_after_an_exception(engine: Engine, sessions: Sessions) -> None:
    claim = take(sessions, make_environment(sessions).operation_id, lease=LEASE)
    before, counted = attempt(sessions, claim).heartbeat_at, failures("heartbeat")
    heartbeat = Heartbeat(engine, Failing(engine, 1), LEASE, nothing)
    heartbeat.hold(claim.lease_token, Stop())
    heartbeat.start()
    try:
        until(lambda: attempt(sessions, claim).heartbeat_at > before, "the lease is renewed")
    finally:
        heartbeat.stop()
    assert failures("heartbeat") == counted + 1
    shown = Metrics().registry.get_sample_value(
        "provisioning_background_failures_total", {"work": "heartbeat"}
    )
    assert shown == failures("heartbeat")


def test_a_heartbeat_that_cannot_beat_gives_up(engine: Engine, sessions: Sessions) -> None:
    gave_up = threading.Event()
    heartbeat = Heartbeat(engine, Failing(engine, float("inf")), LEASE, gave_up.set)
    heartbeat.hold(take(sessions, make_environment(sessions).operation_id).lease_token, Stop())
    heartbeat.start()
    try:
        assert gave_up.wait(30), "it went on without renewing anything"
    finally:
        heartbeat.stop()


def test_the_reconciler_goes_on_after_an_exception(
    engine: Engine, sessions: Sessions, queue: Queue, redis_url: str
) -> None:
    made = make_environment(sessions)
    wait_long_ago(sessions, made.operation_id)
    counted = failures("reconciler")
    # Each of its rounds has two parts, of which the second is done even if the first fails.
    reconciler = Reconciler(experienced(sessions), Failing(engine, 3), queue, ACTOR, interval=0.05)
    reconciler.start()
    try:
        until(lambda: hints(redis_url) == [made.operation_id], "the hint is sent")
    finally:
        reconciler.stop()
    assert failures("reconciler") == counted + 2


def test_the_recorder_goes_on_after_an_exception(engine: Engine, sessions: Sessions) -> None:
    claim = take(sessions, make_environment(sessions).operation_id)
    counted = failures("recorder")
    with Recorder(Failing(engine, 2), claim, Stop()) as recorder:
        recorder.emit("test", "Happened.")
        until(lambda: _types(sessions, claim.environment_id).count("test") == 1, "the event is written")
    assert failures("recorder") == counted + 2


def test_an_event_that_the_database_refuses_holds_up_no_other(sessions: Sessions) -> None:
    claim = take(sessions, make_environment(sessions).operation_id)
    counted = failures("recorder")
    with refusing(sessions, "events", "data->>'text' IS DISTINCT FROM 'refused'"):
        with Recorder(sessions, claim, Stop()) as recorder:
            for data in ("a", "refused", "b"):
                recorder.emit("test", "Happened.", text=data)
            recorder.flush()
        told = [data["text"] for _, type_, data in events(sessions, claim.environment_id) if type_ == "test"]
    assert told == ["a", "b"]
    assert failures("recorder") > counted


def test_a_claim_that_the_database_refuses_is_counted(
    engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    made, counted = make_environment(sessions), failures("claim")
    worker = make_worker(engine, sessions, queue, settings, Work())
    with refusing(sessions, "attempts", "worker = 'nobody'"):
        worker.run(made.operation_id)
    assert failures("claim") == counted + 1
    (told,) = [one for one in caplog.records if "database_fault" in one.getMessage()]
    assert told.levelname == "ERROR"
    assert "23514" in told.getMessage()


class Broken(Queue):
    """A queue whose first message meets an exception that no queue should raise."""

    broken = True

    def send(self, actor: str, identifier: str) -> None:
        if self.broken:
            self.broken = False
            raise ValueError(identifier)
        super().send(actor, identifier)


def test_an_operation_that_ends_in_an_exception_is_counted(
    engine: Engine, sessions: Sessions, queue: Queue, redis_url: str, settings: Settings
) -> None:
    counted = failures("operation")
    worker = make_worker(engine, Failing(engine, 1), queue, settings, Work())
    with consuming(redis_url, worker, threads=1):
        queue.send(ACTOR, make_environment(sessions).operation_id)
        until(lambda: failures("operation") > counted, "it is counted")
    assert failures("operation") == counted + 1


def test_hints_are_sent_after_an_exception(redis_url: str) -> None:
    queue = Broken(redis_url)
    sending = Hints(queue)
    sending.send("op_1")
    sending.send("op_2")
    sending.start()
    sending.close()
    assert hints(redis_url) == ["op_2"]
    queue.close()


@pytest.fixture
def frozen(settings: Settings, tmp_path: Path) -> Iterator[Process]:
    """A worker whose database has stopped to answer without a word."""
    with proxy_to(settings.database_url) as proxy:
        distant = settings.model_copy(update={"database_url": proxy.url})
        process = Process(distant, tmp_path, variables={"LEASE_SECONDS": "2"})
        try:
            until(lambda: process.logged("worker_started"), "the worker has started")
            proxy.freeze()
            yield process
        finally:
            process.child.kill()
            process.child.wait()
            proxy.heal()


def test_a_worker_that_cannot_beat_ends_and_says_so(frozen: Process, tmp_path: Path) -> None:
    assert frozen.child.wait(60) == 1
    assert "error: This worker cannot renew its leases" in (tmp_path / "worker.log").read_text()


def _types(sessions: Sessions, environment_id: str) -> list[str]:
    return [type_ for _, type_, _ in events(sessions, environment_id)]
