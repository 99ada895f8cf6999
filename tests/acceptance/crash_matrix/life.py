"""One case from its first request to its last: users ask, it strikes, everything is judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.acceptance.crash_matrix import strikes
from tests.acceptance.crash_matrix.cases import Case, Fault, Victim, When
from tests.acceptance.crash_matrix.journal import Event, Journal
from tests.acceptance.crash_matrix.judge import Judge, Violation, rules_of_history, rules_of_processes
from tests.acceptance.crash_matrix.plant import DEFAULT, SHORT, Plant, planted
from tests.acceptance.crash_matrix.recovery import Sample, samples
from tests.acceptance.crash_matrix.strikes import Scene
from tests.support.configs import document
from tests.support.simulated import EXTERNAL_ID

from beta9_provisioning.lifecycle import Kind

_PACE = 0.05
_LOOK_SECONDS = 0.7
_ANSWER_SECONDS = 5.0
_ENVIRONMENTS = "/api/v1/environments"
_TIME_SCALE = 0.004
# What is asked for a second time, at most.
_RETRIES = 2
_FINAL = ("ready", "failed", "destroyed")
MAY_FAIL = frozenset(
    {
        Fault.STATE_STORE,
        Fault.THROTTLED,
        Fault.CREATE_TIMES_OUT,
        Fault.FULL_DISK,
    }
)
"""After these an operation may fail truthfully, if asking again succeeds; after all else it may not."""
_UNTRUTHFUL = ("internal_error",)
_TOLD = 600
"""Characters of an error that are told."""


@dataclass
class Wish:
    """An environment that a user wants, and what he was shown of it.

    Attributes:
        wanted: the final status that was asked for.
        failures: the codes of operations that failed.
        error: what was told of the last failure.
    """

    name: str
    wanted: str
    id: str = ""
    status: str = ""
    failures: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def is_final(self) -> bool:
        """Whether it has come to an end, as wanted or not."""
        return self.status in (self.wanted, "failed")


@dataclass
class Result:
    """What became of a case.

    Attributes:
        outcome: recovered (as requested), failed (truthfully, and asking again succeeded), or lost.
        failures: the codes of what failed.
        samples: how long recoveries took.
    """

    case: Case
    outcome: str
    failures: list[str]
    violations: list[Violation]
    samples: list[Sample]
    was_struck: bool
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether nothing is held against the product."""
        return not self.violations and self.outcome != "lost" and self.was_struck


def run_case(
    case: Case, directory: Path, prepared: Path, *, may_isolate: bool, source: Path | None = None
) -> Result:
    """Run a case in an empty directory; `prepared` is what `plant.prepare` made."""
    profile = DEFAULT if case.default_settings else SHORT
    isolated = may_isolate and (case.victim is Victim.POD or case.fault is Fault.FULL_DISK)
    began = time.monotonic()
    with planted(directory, prepared, profile, isolated=isolated, source=source) as plant:
        life = Life(case, plant)
        try:
            violations = life.run()
        finally:
            life.close()
        return Result(
            case,
            life.outcome,
            [code for wish in life.wishes for code in wish.failures],
            violations,
            samples(case, life.scene.struck, life.journal),
            life.was_struck,
            time.monotonic() - began,
        )


class Life:
    """The environments of a case, and everything that is done to them."""

    def __init__(self, case: Case, plant: Plant) -> None:
        self._case = case
        self._plant = plant
        self.wishes: list[Wish] = []
        self.violations: list[Violation] = []
        self._due_at: float | None = None
        self._looked = 0.0
        self._plan = self._planned()

    def run(self) -> list[Violation]:
        """Play the case; return what is held against the product."""
        self._plant.start(2, through_proxy=self._case.fault is Fault.PARTITION)
        self.journal = Journal(self._plant.database_url)
        self.scene = Scene(self._case, self._plant, self.journal)
        self.scene.delete = self._delete_watched
        self._http = httpx.Client(base_url=self._plant.api_url, timeout=_ANSWER_SECONDS)
        self._plant.world.be_slow(_TIME_SCALE)
        self._plant.world.delay("aws_db_instance", self._case.creating or None)
        self._wait_until_warm()
        self.wishes = [Wish(f"env-{number}", "ready") for number in range(self._case.environments)]
        for wish in self.wishes:
            self._create(wish)
        self._until_final()
        if self._case.trigger.kind is Kind.DESTROY:
            for wish in self.wishes[: (len(self.wishes) + 1) // 2]:
                self._delete(wish)
            self._until_final()
        self._ask_again()
        self._judge()
        return list(dict.fromkeys(self.violations))

    def close(self) -> None:
        """Give connections up."""
        self.journal.close()
        self._http.close()

    @property
    def was_struck(self) -> bool:
        """Whether everything was done that was to be done."""
        return not self._plan

    @property
    def outcome(self) -> str:
        """How the case ended for its users."""
        if any(wish.status != wish.wanted for wish in self.wishes):
            return "lost"
        return "failed" if any(wish.failures for wish in self.wishes) else "recovered"

    # The strikes, in their order

    def _planned(self) -> list[tuple[Callable[[], bool], Callable[[Scene], bool]]]:
        case = self._case
        if case.fault is Fault.NONE:
            return [(self._has_come, strikes.kill)]
        if case.victim is Victim.NONE:
            return [(self._has_come, strikes.spoil)]
        if case.when is When.BEFORE or case.fault is Fault.COLD_WORKER:
            return [(self._has_come, strikes.spoil), (self._has_passed, strikes.kill)]
        return [(self._has_come, strikes.kill), (self._has_gone_on, strikes.spoil)]

    def _has_come(self) -> bool:
        """Whether it is time; a time that the operation does not live to see is the one of its end."""
        return self._due_at is not None and (time.monotonic() >= self._due_at or self._is_over())

    def _has_passed(self) -> bool:
        return self._due_at is not None and time.monotonic() >= self._due_at + self._case.pause

    def _has_gone_on(self) -> bool:
        """Whether another attempt has begun, or none is needed: the operation has gone on for a while."""
        first = self.scene.struck[0]
        later = [one for one in self.journal.of(self.scene.watched) if one.at > first.at]
        return any(one.type in ("operation.claimed", "operation.resumed") for one in later) or (
            time.time() > first.at + 5.0 + self._case.pause and bool(later)
        )

    def _is_over(self) -> bool:
        """Whether the watched operation has ended: there is nothing to strike any more."""
        return any(
            one.type == "operation.finished" and one.data["kind"] == self._case.trigger.kind
            for one in self.journal.of(self.scene.watched)
        )

    # The loop

    def _until(self, condition: Callable[[], bool], what: str) -> bool:
        """Go on until a condition holds; return whether it did before the deadline, which faults put off."""
        began = time.time()
        while not condition():
            if time.time() > max(began, self.scene.healed_at) + self._plant.profile.deadline:
                self.violations.append(Violation("lost", f"{what}: {self._standing()}"))
                return False
            self._go_on()
            time.sleep(_PACE)
        return True

    def _go_on(self) -> None:
        for event in self.journal.look():
            self._note(event)
        if self._plan and self._plan[0][0]() and self._plan[0][1](self.scene):
            self._plan.pop(0)
        if self.scene.struck and self._is_over():
            self._plan.clear()
        self.scene.tick()
        if time.monotonic() < self._looked + _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self._plant.tend()
        self.violations += rules_of_processes(self._plant.running())
        for wish in self.wishes:
            if wish.id and not wish.is_final:
                self._look_at(wish)

    def _note(self, event: Event) -> None:
        trigger = self._case.trigger
        if (
            self._due_at is None
            and event.environment_id == self.scene.watched
            and self._kind(event) is trigger.kind
            and trigger.fits(event.type, event.data)
        ):
            self._due_at = time.monotonic() + trigger.pause

    def _kind(self, event: Event) -> Kind | None:
        queued = [
            one
            for one in self.journal.of(event.environment_id)
            if one.type == "operation.queued" and one.operation_id == event.operation_id
        ]
        return Kind(queued[0].data["kind"]) if queued else None

    def _until_final(self) -> bool:
        return self._until(
            lambda: all(wish.is_final for wish in self.wishes) and self.scene.is_quiet, "they have ended"
        )

    def _standing(self) -> str:
        return ", ".join(f"{wish.name} ({wish.id}) is {wish.status}" for wish in self.wishes)

    # The user

    def _wait_until_warm(self) -> None:
        """Wait until every worker has watched the others for a lease: before that it judges nobody."""
        if self._case.fault is not Fault.COLD_WORKER:
            ready = time.monotonic() + self._plant.profile.lease + 2.0
            while time.monotonic() < ready:
                time.sleep(_PACE)

    def _create(self, wish: Wish) -> None:
        body = document(name=wish.name, cloud__external_id=EXTERNAL_ID)
        key = f"{wish.name}-{len(wish.failures)}"
        answer = self._insist("POST", _ENVIRONMENTS, json=body, headers={"Idempotency-Key": key})
        wish.id, wish.status, wish.wanted = answer["environment_id"], answer["status"], "ready"
        self.scene.watched = self.scene.watched or wish.id

    def _delete(self, wish: Wish) -> None:
        answer = self._insist("DELETE", f"{_ENVIRONMENTS}/{wish.id}")
        wish.status, wish.wanted = answer["status"], "destroyed"

    def _delete_watched(self) -> bool:
        wish = self.wishes[0]
        answer = self._ask("DELETE", f"{_ENVIRONMENTS}/{wish.id}")
        if answer is None or not answer.is_success:
            return False
        wish.status, wish.wanted = answer.json()["status"], "destroyed"
        return True

    def _look_at(self, wish: Wish) -> None:
        answer = self._ask("GET", f"{_ENVIRONMENTS}/{wish.id}")
        if answer is not None and answer.is_success:
            wish.status = answer.json()["status"]
            if wish.status == "failed":
                error = answer.json()["error"]
                wish.failures.append(error["code"])
                wish.error = f"{error['code']}: {error['message']} {error['detail']}"[:_TOLD]

    def _insist(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask until there is an answer that is no trouble of the service's."""
        found: list[dict[str, Any]] = []

        def ask() -> bool:
            answer = self._ask(method, path, **more)
            if answer is None or answer.status_code >= 500:
                return False
            assert answer.is_success, answer.text
            found.append(answer.json())
            return True

        self._until(ask, f"{method} {path} is answered")
        return found[0] if found else {"environment_id": "", "status": "unanswered"}

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        try:
            return self._http.request(method, path, **more)
        except httpx.TransportError:
            return None

    def _ask_again(self) -> None:
        """Do as a user does after a failure: delete, if need be twice, and create again what was wanted."""
        for wish in [wish for wish in self.wishes if wish.status == "failed"]:
            wanted = wish.wanted
            self._check_truth(wish)
            for _ in range(_RETRIES):
                self._delete(wish)
                if self._until_final() and wish.status == "destroyed":
                    break
            if wish.status == "destroyed" and wanted == "ready":
                self._create(wish)
                self._until_final()
            wish.wanted = wanted

    def _check_truth(self, wish: Wish) -> None:
        code = wish.failures[-1]
        if {self._case.victim, self._case.fault}.isdisjoint(MAY_FAIL) or code in _UNTRUTHFUL:
            self.violations.append(
                Violation("not recovered", f"{wish.name} ({wish.id}) failed: {wish.error}")
            )

    # The judgement

    def _judge(self) -> None:
        if self._plan:
            self.violations.append(Violation("not struck", "what was to be struck was not there"))
        judge = Judge(self._plant, self.journal)
        self.violations += judge.of_cloud({wish.id: wish.status for wish in self.wishes})
        self.journal.look()
        self.violations += rules_of_history(self.journal)
        self.violations += judge.of_ends()
