"""Fairness between users, with genuine queue, database and workers."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import Engine
from tests.operations.rows import make_environment, operation
from tests.support.waiting import until
from tests.worker.rig import consuming, hints, nothing

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Runner, Step
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.worker import Worker

SLOTS = 2


class Gates:
    """A workflow whose operations run until the test lets each of them go, and that counts what began."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self._lock = threading.Lock()
        self._gates: dict[str, threading.Event] = {}
        self._all_open = False

    def workflow_of(self, _: Claim) -> tuple[Step, ...]:
        return tuple(
            Step(status, status, status, Reason.INTERNAL, work)
            for status, work in (
                (OperationStatus.PLANNING, self._work),
                (OperationStatus.APPLYING, lambda _: None),
                (OperationStatus.BOOTSTRAPPING, lambda _: None),
            )
        )

    def end(self, operation_id: str) -> None:
        """Let one end."""
        self._gate(operation_id).set()

    def open_all(self) -> None:
        """Let all of them end, those that begin later included."""
        with self._lock:
            self._all_open = True
            for gate in self._gates.values():
                gate.set()

    def running(self, users: dict[str, list[str]], user: str) -> int:
        """How many of a user's have begun."""
        return len(set(self.began) & set(users[user]))

    def _gate(self, operation_id: str) -> threading.Event:
        with self._lock:
            gate = self._gates.setdefault(operation_id, threading.Event())
            if self._all_open:
                gate.set()
            return gate

    def _work(self, context: Context) -> None:
        self.began.append(context.claim.operation_id)
        gate = self._gate(context.claim.operation_id)
        until(lambda: gate.wait(0.02), "the test lets it go")


@pytest.fixture
def gates() -> Iterator[Gates]:
    gates = Gates()
    yield gates
    gates.open_all()


@contextmanager
def workers(
    number: int,
    *,
    most_of_one: int = 0,
    engine: Engine,
    sessions: Sessions,
    queue: Queue,
    settings: Settings,
    gates: Gates,
) -> Iterator[None]:
    """Run so many workers, each with two slots."""
    with ExitStack() as stack:
        for _ in range(number):
            worker = Worker(
                engine,
                sessions,
                queue,
                Runner(sessions, settings, new_synthesizer(), gates.workflow_of),
                Metrics(),
                actor=ACTOR,
                lease_seconds=300.0,
                give_up=nothing,
                slots=SLOTS,
                most_of_one=most_of_one,
            )
            stack.enter_context(consuming(settings.redis_url, worker, threads=SLOTS))
        stack.callback(gates.open_all)
        yield


def ask(sessions: Sessions, queue: Queue, user: str, number: int) -> list[str]:
    """Have a user ask for environments, as the API does; return the ids of the operations."""
    ids = [make_environment(sessions, user=user).operation_id for _ in range(number)]
    for one in ids:
        queue.send(ACTOR, one)
    return ids


@pytest.mark.parametrize("number", [1, 2])
def test_one_users_fifty_delay_anothers_first_by_one_slot_at_most(
    *, engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, gates: Gates, number: int
) -> None:
    slots = number * SLOTS
    with workers(number, engine=engine, sessions=sessions, queue=queue, settings=settings, gates=gates):
        many = ask(sessions, queue, "many", 50)
        until(lambda: len(gates.began) == slots, "all slots are taken")
        (first,) = ask(sessions, queue, "another", 1)
        gates.end(gates.began[0])
        until(lambda: len(gates.began) == slots + 1, "the slot is taken again")
        assert gates.began[-1] == first
        gates.open_all()
        until(lambda: len(gates.began) == 51, "all have begun")
        until(lambda: queue.backlog() == 0, "messages that were too many are taken as well")
    assert {operation(sessions, one).attempts for one in (*many, first)} == {1}


def test_slots_that_are_free_at_once_go_round(
    *, engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, gates: Gates
) -> None:
    asked = {user: ask(sessions, queue, user, 5) for user in ("many", "another")}
    with workers(2, engine=engine, sessions=sessions, queue=queue, settings=settings, gates=gates):
        until(lambda: len(gates.began) == 2 * SLOTS, "all slots are taken")
        assert {user: gates.running(asked, user) for user in asked} == {"many": SLOTS, "another": SLOTS}


def test_a_users_limit_holds_back_only_his_own_and_the_next_is_woken_by_an_end(
    *, engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, gates: Gates
) -> None:
    with workers(
        2, most_of_one=1, engine=engine, sessions=sessions, queue=queue, settings=settings, gates=gates
    ):
        limited = ask(sessions, queue, "limited", 3)
        until(lambda: gates.began, "one of his runs")
        until(lambda: hints(settings.redis_url) == [], "the messages of his others are taken")
        (other,) = ask(sessions, queue, "other", 1)
        until(lambda: len(gates.began) == 2, "another user's runs beside it")
        assert gates.began[1] == other
        for number in (3, 4):
            gates.end(gates.began[0] if number == 3 else gates.began[2])
            until(lambda n=number: len(gates.began) == n, "his next one is woken")  # type: ignore[misc]
        assert sorted(gates.began) == sorted([other, *limited])
