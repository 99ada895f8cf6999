"""The database commits, and the answer is lost: what was done is recognized, and nothing is done twice."""

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from tests.operations.rows import Made, events, make_environment, operation, status, take
from tests.support.proxy import Proxy
from tests.worker.rig import Work, make_worker

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import Queue
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Runner, Step, Unfinished
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.settings import Settings

S = OperationStatus


@pytest.fixture
def made(sessions: Sessions) -> Made:
    return make_environment(sessions)


def run(
    sessions: Sessions, distant: Engine, settings: Settings, made: Made, *, last: Callable[[Context], None]
) -> OperationStatus | Unfinished:
    """Run three steps over the line that loses answers; each tells something."""

    def tell(context: Context) -> None:
        for number in range(3):
            context.recorder.emit("test", "Happened.", n=number)

    steps = (
        Step("one", "One", S.PLANNING, Reason.CONFIGURATION, tell),
        Step("two", "Two", S.APPLYING, Reason.TERRAFORM_FAILED, tell),
        Step("three", "Three", S.BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, last),
    )
    claim = take(sessions, made.operation_id)
    runner = Runner(session_factory(distant), settings, new_synthesizer(), lambda _: steps)
    return runner.run(claim, Stop())


def told(sessions: Sessions, made: Made) -> Counter[str]:
    """How often each thing was told."""
    return Counter(
        f"{type_} {data.get('step', data.get('to', ''))}"
        for _, type_, data in events(sessions, made.environment_id)
    )


def fail(_: Context) -> None:
    raise EngineError("It broke.", code="it_broke")


@pytest.mark.parametrize("every", [2, 3])
@pytest.mark.parametrize(
    ("last", "ended"), [(lambda _: None, S.SUCCEEDED), (fail, S.FAILED)], ids=["succeeds", "fails"]
)
def test_an_operation_whose_commits_are_not_answered_ends_as_it_should_and_tells_all_once(
    *,
    sessions: Sessions,
    distant: Engine,
    proxy: Proxy,
    settings: Settings,
    made: Made,
    every: int,
    last: Callable[[Context], None],
    ended: OperationStatus,
) -> None:
    proxy.loses = lambda number: number % every == 0
    assert run(sessions, distant, settings, made, last=last) is ended
    assert proxy.commits > every
    assert operation(sessions, made.operation_id).status == ended
    counts = told(sessions, made)
    assert counts.pop("test ") == 6
    assert set(counts.values()) == {1}, counts
    assert status(sessions, made.environment_id) == ("ready" if ended is S.SUCCEEDED else "failed")


def test_a_claim_whose_commit_is_not_answered_is_run(
    *, sessions: Sessions, distant: Engine, proxy: Proxy, queue: Queue, settings: Settings, made: Made
) -> None:
    work = Work()
    worker = make_worker(distant, session_factory(distant), queue, settings, work)
    proxy.loses = lambda number: number == 0
    worker.run(made.operation_id)
    assert status(sessions, made.environment_id) == "ready"
    assert operation(sessions, made.operation_id).attempts == 1
    assert told(sessions, made)["operation.claimed "] == 1
