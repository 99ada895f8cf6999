"""One history: users, workers and faults of one seed, from an empty database until all is over."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy.exc
from sqlalchemy import Engine

from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands
from beta9_provisioning.environments.commands import Replay
from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.database import Sessions, sessions
from beta9_provisioning.kit.queue import ACTOR, QueueUnavailable
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records.leases import Observer
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings
from simulation.baton import Baton, Process, Signal
from simulation.database import Database
from simulation.faults import Fault, Plan
from simulation.hints import Hints, SimulatedQueue
from simulation.host import SimulatedHost
from simulation.judge import Judge, Violation
from simulation.meetings import Meeting, met
from simulation.programs import Machinery, WorkerProcess
from simulation.world import World

FINAL_SECONDS = 1800.0
"""So long after the last fault every accepted operation must be final."""
_LOOK_SECONDS = 0.5
_DELETES = 4
_SETTLING_SECONDS = 10.0
"""Within so many seconds of its start a worker has its sessions."""
_RESTART_SECONDS = (1.0, 15.0)


@dataclass
class Outcome:
    """How a history went."""

    seed: int
    violations: list[Violation]
    operations: int
    kinds: dict[str, int]
    faults: dict[str, int]
    trace: str
    points: int
    seconds: float
    statements: int
    lines: list[str]
    recoveries: list[float] = field(default_factory=list)
    meetings: set[Meeting] = field(default_factory=set)


class History:
    """Runs one seed."""

    def __init__(
        self,
        seed: int,
        plan: Plan,
        database: Database,
        settings: Settings,
        place: Path,
        *,
        listener: Callable[[str], None] | None = None,
        observer: Callable[[Engine, float], Observer] = Observer,
    ) -> None:
        self._seed = seed
        self._plan = plan
        self._database = database
        self._settings = settings
        self._place = place
        self._baton = Baton(seed, listener=listener)
        world = World(self._baton)
        self._machinery = Machinery(self._baton, database, Hints(self._baton), world, settings, observer)
        self._world = world
        is_store_away = any(one.kind == "store-away" for one in plan.faults)
        self._judge = Judge(world, database, is_store_away=is_store_away, is_failing=plan.failing > 0)
        self._workers: list[WorkerProcess] = []
        self._api: Process | None = None
        self._factory: Sessions | None = None
        self._started = 0
        self._is_ending = False
        self._accepted: dict[str, str] = {}
        self._ended = Signal()
        self._users_left = 0
        self._users_done = Signal()
        self._faults: dict[str, int] = {}
        self._deaths: dict[str, float] = {}
        self._broken_until = self._away_until = float("-inf")
        self._recoveries: list[float] = []
        self._meetings: set[Meeting] = set()

    def run(self) -> Outcome:
        """Run it and judge it."""
        before = runtime.install(SimulatedHost(self._baton))
        statements = self._database.statements
        try:
            self._database.begin(self._baton)
            is_over = self._live()
            self._judge.final(set(self._accepted), is_over=is_over)
            self._recoveries = self._judge.recoveries(self._deaths)
        finally:
            self._is_ending = True
            self._end_all()
            runtime.install(before)
            shutil.rmtree(self._place, ignore_errors=True)
        kinds: dict[str, int] = {}
        for ended in self._judge.ended.values():
            kinds[f"{ended.kind} {ended.status}"] = kinds.get(f"{ended.kind} {ended.status}", 0) + 1
        return Outcome(
            self._seed,
            self._judge.violations,
            len(self._judge.ended),
            kinds,
            self._faults,
            self._baton.trace,
            self._baton.points,
            self._baton.now,
            self._database.statements - statements,
            list(self._baton.lines),
            self._recoveries,
            self._meetings,
        )

    def _live(self) -> bool:
        plan, baton = self._plan, self._baton
        for number in range(plan.workers):
            self._start_worker(number)
        self._start_api()
        self._database.lost_answers = plan.lost_answers
        self._database.lost_statements = plan.lost_statements
        self._world.cloud.pace = plan.pace
        self._world.cloud.slow, self._world.cloud.failing = plan.slow, plan.failing
        users = Process("users")
        share = [
            plan.environments // plan.users + (n < plan.environments % plan.users) for n in range(plan.users)
        ]
        self._users_left = plan.users
        for number, environments in enumerate(share):
            baton.begin(f"user-{number}", users, partial(self._user, number, environments), tag="users")
        for fault in plan.faults:
            baton.at(fault.at, partial(self._strike, fault))
        self._watch()
        quiet_from = max((fault.at + fault.seconds for fault in plan.faults), default=0.0)
        baton.at(max(plan.window, quiet_from), self._calm)
        deadline = max(plan.window, quiet_from) + FINAL_SECONDS
        while self._users_left and baton.now < deadline:
            baton.wait([self._users_done], deadline - baton.now)
        return True

    def _calm(self) -> None:
        self._database.lost_answers = self._database.lost_statements = 0.0

    def _end_all(self) -> None:
        for process in [one.process for one in self._workers] + ([self._api] if self._api else []):
            self._baton.kill(process)
        self._database.end()
        self._baton.unwind()

    # Processes.

    def _start_worker(self, slot: int) -> None:
        if self._is_ending:
            return
        self._started += 1
        name = f"worker{slot}-{self._started}"
        place = self._place / f"host{slot}"
        skew = self._plan.skew
        rate = 1.0 + self._baton.chance.uniform(-skew, skew)
        worker = WorkerProcess(self._machinery, name, place, rate)
        self._workers.append(worker)
        worker.process.on_death.append(lambda: self._again(slot, worker))
        worker.start()

    def _again(self, slot: int, worker: WorkerProcess) -> None:
        """The platform starts another worker in the place of one that has ended."""
        self._workers.remove(worker)
        if self._world.takes_children(worker.process):
            shutil.rmtree(self._place / f"host{slot}", ignore_errors=True)
        if not self._is_ending:
            self._baton.after(
                self._baton.latency.uniform(*_RESTART_SECONDS), lambda: self._start_worker(slot)
            )

    def _start_api(self) -> None:
        self._api = process = Process(f"api-{self._started}")
        self._factory = None

        def start() -> None:
            while self._factory is None:
                try:
                    self._factory = sessions(self._database.engine(process, 20, 1))
                except sqlalchemy.exc.SQLAlchemyError:
                    self._baton.sleep(1.0)

        process.on_death.append(lambda: None if self._is_ending else self._baton.after(2.0, self._start_api))
        self._baton.begin("start", process, start, tag="api")

    def _watch(self) -> None:
        if self._is_ending:
            return
        if self._judge.look():
            self._baton.wake(self._ended)
        self._judge.look_at_attempts(self._is_sound)
        self._judge.look_at_turns()
        self._baton.after(_LOOK_SECONDS, self._watch)

    def _is_sound(self, operation: str, number: int, at: float) -> bool:
        """Tell whether a process worked on an attempt at this time, hindered by nothing for a whole lease."""
        work = self._machinery.works.get((operation, number))
        if work is None or not work.process.alive or self._database.epoch_of(work.ended) < at:
            return False
        hindered = max(work.process.cut_until, work.process.frozen_until, self._away_until)
        return hindered < self._baton.now - self._settings.lease_seconds

    # Users.

    def _user(self, number: int, environments: int) -> None:
        lives = [
            self._baton.begin(
                f"user-{number}.{n}", self._baton.current.process, partial(self._life, number, n)
            )
            for n in range(environments)
        ]
        for life in lives:
            if not life.is_over:
                assert life.over is not None
                self._baton.wait([life.over])
        self._users_left -= 1
        self._baton.wake(self._users_done)

    def _life(self, user: int, number: int) -> None:
        """Create an environment, and delete it sooner or later, until it is gone."""
        chance, baton = self._baton.latency, self._baton
        baton.sleep(chance.uniform(0.0, self._plan.window * 0.8) if chance.random() < 0.7 else 0.0)
        name = f"user{user}-env{number}"
        created = self._insist(lambda session: self._create(session, user, name))
        environment, operation = created
        if chance.random() < 0.35:
            self._wait_for(operation, chance.uniform(0.0, 150.0))
        else:
            self._wait_for(operation, None)
        tries = 0
        while tries < _DELETES:
            began = baton.now
            deleted = self._insist(lambda session: self._delete(session, user, environment))
            if deleted is None:
                return
            self._wait_for(deleted, None)
            ended = self._judge.ended[deleted]
            if ended.status == OperationStatus.SUCCEEDED:
                return
            # One that met the store away says nothing of the environment.
            tries += self._world.cloud.store_away_until < began
            baton.sleep(20.0)
        self._judge.tell("orphaned", f"{environment} could not be deleted in {_DELETES} tries")

    def _wait_for(self, operation: str, seconds: float | None) -> None:
        until = None if seconds is None else self._baton.now + seconds
        while operation not in self._judge.ended:
            left = None if until is None else until - self._baton.now
            if left is not None and left <= 0:
                return
            self._baton.wait([self._ended], left)

    def _insist(self, ask: Callable[[Any], Any]) -> Any:
        """Make a request until it is answered."""
        while True:
            answer = self._request(ask)
            if answer is not None:
                return answer[0]
            self._baton.sleep(self._baton.latency.uniform(0.5, 3.0))

    def _request(self, ask: Callable[[Any], Any]) -> tuple[Any] | None:
        """Make a request on a thread of the API; None when it was not answered, or by 503."""
        api, factory = self._api, self._factory
        if api is None or factory is None or not api.alive:
            return None
        answers: list[tuple[Any]] = []

        def serve() -> None:
            try:
                with factory() as session:
                    answer, hint = ask(session)
                    session.commit()
            except sqlalchemy.exc.SQLAlchemyError:
                return
            if hint is not None:
                # It is answered whatever becomes of the hint.
                self._accepted[hint[1]] = hint[0]
            answers.append((answer,))
            if hint is not None:
                try:
                    SimulatedQueue(self._machinery.hints).send(ACTOR, hint[1])
                except QueueUnavailable:
                    return

        task = self._baton.begin("request", api, serve, tag="api")
        assert task.over is not None
        if not task.is_over:
            self._baton.wait([task.over])
        return answers[0] if answers else None

    def _create(self, session: Any, user: int, name: str) -> tuple[tuple[str, str], tuple[str, str]]:
        cloud = {
            "provider": "aws",
            "region": "us-east-1",
            "account_id": "123456789012",
            "role_arn": "arn:aws:iam::123456789012:role/Beta9Provisioner",
        }
        document = {"name": name, "cloud": cloud, "beta9": {"domain": f"{name}.example.com"}}
        outcome = commands.create(
            session,
            EnvironmentConfig.model_validate(document),
            owner="default",
            by=_author(user),
            settings=self._settings,
            idempotency_key=name,
            body=name.encode(),
        )
        if isinstance(outcome, Replay):
            operation = outcome.answer["operation"]["id"]
            return (outcome.environment_id, operation), (outcome.environment_id, operation)
        assert outcome.operation_id is not None
        made = (outcome.environment.environment_id, outcome.operation_id)
        return made, made

    def _delete(self, session: Any, user: int, environment: str) -> tuple[str | None, tuple[str, str] | None]:
        outcome = commands.delete(session, environment, owner="default", by=_author(user))
        if outcome.operation_id is None:
            return None, None
        return outcome.operation_id, (environment, outcome.operation_id)

    # Faults.

    def _strike(self, fault: Fault) -> None:
        if self._is_ending:
            return
        live = [one for one in self._workers if one.process.alive]
        worker = live[fault.pick % len(live)] if live else None
        name = worker.process.name if worker else ""
        self._baton.note(f"FAULT {fault.kind} {fault.seconds} {name}")
        self._faults[fault.kind] = self._faults.get(fault.kind, 0) + 1
        self._meetings |= met(fault.kind, self._struck(fault, worker))
        database = self._database
        if fault.kind in _OF_SESSIONS:
            self._broken_until = self._baton.now + fault.seconds
        if fault.kind in _OF_SERVERS and fault.seconds > self._settings.lease_seconds / 3:
            self._away_until = self._broken_until
        if worker is not None and fault.kind in _OF_WORKERS:
            _OF_WORKERS[fault.kind](self, worker, fault.seconds)
        elif fault.kind in _OF_SERVERS:
            database.restart(fault.seconds, is_another_server=fault.kind == "failover")
        elif fault.kind == "end-session":
            database.end_one(fault.pick)
        else:
            self._strike_others(fault)

    def _struck(self, fault: Fault, worker: WorkerProcess | None) -> list[Process]:
        """Return which processes feel a fault."""
        if fault.kind in _OF_WORKERS:
            return [worker.process] if worker else []
        if fault.kind == "kill-api":
            return [self._api] if self._api else []
        return [one.process for one in self._workers if one.process.alive]

    def _strike_others(self, fault: Fault) -> None:
        hints, until = self._machinery.hints, self._baton.now + fault.seconds
        if fault.kind == "flush-queue":
            hints.flush()
        elif fault.kind == "queue-away":
            hints.down_until = until
        elif fault.kind == "store-away":
            self._world.cloud.store_away_until = until
        elif fault.kind == "kill-api" and self._api is not None:
            self._baton.kill(self._api)

    def _kill(self, worker: WorkerProcess, _seconds: float) -> None:
        self._note_death(worker)
        self._baton.kill(worker.process)

    def _kill_pod(self, worker: WorkerProcess, _seconds: float) -> None:
        self._note_death(worker)
        self._world.lose_pod(worker.process)

    def _note_death(self, worker: WorkerProcess) -> None:
        """Take the time for the figures, if somebody is there who may judge already."""
        now = self._baton.now
        since = now - self._settings.lease_seconds - _SETTLING_SECONDS
        others = [one for one in self._workers if one is not worker and one.began < since]
        if others and self._broken_until < since:
            self._deaths[worker.process.name] = now

    def _terminate(self, worker: WorkerProcess, _seconds: float) -> None:
        worker.tell_to_stop()

    def _cut(self, worker: WorkerProcess, seconds: float) -> None:
        self._database.cut(worker.process, seconds)

    def _freeze(self, worker: WorkerProcess, seconds: float) -> None:
        self._database.freeze(worker.process, seconds)
        self._baton.note(f"frozen until {worker.process.frozen_until:.1f}")


_OF_SERVERS = ("restart-database", "failover")
_OF_SESSIONS = ("cut", "freeze", "restart-database", "failover", "end-session")
_OF_WORKERS: dict[str, Callable[[History, WorkerProcess, float], None]] = {
    "kill": History._kill,
    "kill-pod": History._kill_pod,
    "terminate": History._terminate,
    "cut": History._cut,
    "freeze": History._freeze,
}


def _author(user: int) -> Author:
    return Author(id=f"user-{user}", name=f"user-{user}")
