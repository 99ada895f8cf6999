"""The judge: compares what users were promised with what stands in the world."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from simulation.catalog import KINDS
from simulation.cloud import READY
from simulation.database import Database
from simulation.terraform import State
from simulation.world import World

_OF_STORES = ("aws_unreachable", "state_unavailable", "state_not_saved", "state_saved_late", "leftovers")
_OF_CREATES = ("provider_refused", "resource_failed")
MAX_LOST_ATTEMPTS = 5
"""So many workers may be lost before an operation may be called lost."""
_ENDED = """
    SELECT id, environment_id, kind, status, reason, error->>'code', attempts,
           extract(epoch FROM finished_at)::float,
           concat_ws(' ', error->>'message', error->>'detail')
    FROM operations WHERE finished_at > to_timestamp(%s) ORDER BY finished_at, id
"""

_TURNS = """
    SELECT o.id, o.requested_by, o.status <> 'queued', a.started_at IS NOT NULL,
           o.status = 'queued' AND NOT EXISTS (
               SELECT FROM operations b WHERE b.environment_id = o.environment_id AND b.number < o.number
               AND b.finished_at IS NULL)
    FROM operations o
    LEFT JOIN attempts a ON a.operation_id = o.id AND a.number = 1 AND a.started_at > to_timestamp(%s)
    WHERE o.finished_at IS NULL ORDER BY o.created_at, o.id
"""
_TAKEN = """
    SELECT operation_id, number, extract(epoch FROM ended_at)::float
    FROM attempts WHERE outcome = 'worker_lost' AND ended_at > to_timestamp(%s) ORDER BY ended_at
"""


@dataclass(frozen=True)
class Ended:
    """An operation that has come to its end."""

    id: str
    environment: str
    kind: str
    status: str
    reason: str | None
    code: str | None
    attempts: int
    at: float
    detail: str | None


@dataclass(frozen=True)
class Violation:
    """Something that must not happen."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


class Judge:
    """Looks at one history.

    Attributes:
        violations: what was found.
        may_fail: codes with which operations may fail, because clouds fail on purpose.
    """

    def __init__(self, world: World, database: Database, *, is_store_away: bool, is_failing: bool) -> None:
        self._world = world
        self._database = database
        self._seen: set[str] = set()
        self._since = self._taken_since = self._turns_since = 0.0
        self._ran = Counter[str]()
        self._waited: set[str] = set()
        self.may_fail = (_OF_STORES if is_store_away else ()) + (_OF_CREATES if is_failing else ())
        self.violations: list[Violation] = []
        self.ended: dict[str, Ended] = {}

    def tell(self, rule: str, what: str) -> None:
        """Take note of a violation."""
        self._world.baton.note(f"VIOLATION {rule}: {what}")
        self.violations.append(Violation(rule, what))

    def look(self) -> list[Ended]:
        """Return the operations that have ended since the last look, judged."""
        new = []
        for row in self._database.ask(_ENDED, self._since):
            ended = Ended(*row)
            if ended.id not in self._seen:
                self._seen.add(ended.id)
                self._since = max(self._since, ended.at - 1.0)
                self.ended[ended.id] = ended
                new.append(ended)
                self._judge(ended)
        return new

    def look_at_attempts(self, is_sound: Callable[[str, int, float], bool]) -> None:
        """See that nobody's attempt was taken from a worker that lives, is reached, and works on it."""
        for operation, number, at in self._database.ask(_TAKEN, self._taken_since):
            self._taken_since = max(self._taken_since, at)
            if is_sound(operation, number, at):
                self.tell("judged", f"attempt {number} at {operation} was taken from a worker that lives")

    def look_at_turns(self) -> None:
        """See that no operation began while another who runs fewer by more than a slot waited for long.

        What is seen is as old as the time between two looks: somebody may have run one more meanwhile.
        """
        running = Counter[str]()
        waiting: dict[str, str] = {}
        begun: list[tuple[str, str]] = []
        for id_, user, is_running, is_new, is_waiting in self._database.ask(_TURNS, self._turns_since):
            running[user] += is_running
            if is_new:
                begun.append((id_, user))
            if is_waiting:
                waiting[user] = id_
        for id_, user in begun:
            for other, passed in waiting.items():
                most = max(running[other], self._ran[other])
                if running[user] > most + 2 and passed in self._waited:
                    self.tell(
                        "unfair", f"{id_} of {user} began as number {running[user]}, and {passed} waits"
                    )
        self._ran, self._waited = running, set(waiting.values())
        self._turns_since = self._database.epoch_of(self._world.baton.now)

    def final(self, accepted: set[str], *, is_over: bool) -> None:
        """Judge the whole history at its end."""
        self.look()
        for operation in sorted(accepted - self.ended.keys()):
            if is_over:
                self.tell("stuck", f"{operation} was accepted and is not final")
        for sentence in self._world.cloud.twice:
            self.tell("twice", sentence)
        for sentence in self._world.overlaps:
            self.tell("writers", sentence)
        self._judge_events()
        self._judge_attempts()

    def _judge(self, ended: Ended) -> None:
        if ended.status == OperationStatus.SUCCEEDED:
            later = [deed for deed in self._world.cloud.deeds[-50:] if deed.environment == ended.environment]
            if not later or self._database.epoch_of(later[-1].at) <= ended.at:
                wrong = self._built(ended) if ended.kind != Kind.DESTROY else self._gone(ended)
                if wrong:
                    self.tell("untrue", f"{ended.kind} {ended.id} succeeded, but {wrong}")
        elif ended.status == OperationStatus.FAILED and not self._may_fail(ended):
            self.tell(
                "lost", f"{ended.kind} {ended.id} failed as {ended.reason} ({ended.code}): {ended.detail}"
            )
        if ended.kind != Kind.DESTROY:
            self._judge_deletions(ended)

    def _may_fail(self, ended: Ended) -> bool:
        if ended.reason == Reason.WORKER_LOST and ended.attempts >= MAX_LOST_ATTEMPTS:
            return True
        return ended.code in self.may_fail

    def _judge_deletions(self, ended: Ended) -> None:
        """A provision deletes nothing, but what the cloud reports as failed for good."""
        destroys = {one.environment for one in self.ended.values() if one.kind == Kind.DESTROY}
        if ended.environment in destroys:
            return
        began = self._database.ask(
            "SELECT extract(epoch FROM started_at)::float FROM operations WHERE id = %s", ended.id
        )[0][0]
        for deed in self._world.cloud.deeds:
            at = self._database.epoch_of(deed.at)
            if deed.what != "delete" or deed.environment != ended.environment or deed.was_failed:
                continue
            if began is not None and began <= at <= ended.at:
                self.tell("replaced", f"{ended.kind} {ended.id} deleted {deed.address} by {deed.tag}")

    def _built(self, ended: Ended) -> str:
        cloud = self._world.cloud
        standing = cloud.of(ended.environment)
        wrong = [
            f"{address} is {', '.join(one.status for one in standing.get(address, ())) or 'absent'}"
            for address in KINDS
            if [one.status for one in standing.get(address, ())] != [READY]
        ]
        entries = State.of(cloud.read_state(ended.environment)).entries
        for address in KINDS:
            entry = entries.get(address)
            ids = [one.id for one in standing.get(address, ())]
            if entry is None or entry.is_tainted or [entry.id] != ids:
                wrong.append(f"the state has {entry} of {address}, of which {ids} stand")
        for (_, name), release in self._world.cluster(ended.environment).releases.items():
            if release.status != "deployed":
                wrong.append(f"the release {name} is {release.status}")
        return "; ".join(wrong)

    def _gone(self, ended: Ended) -> str:
        cloud = self._world.cloud
        wrong = [f"{one.id} stands" for things in cloud.of(ended.environment).values() for one in things]
        if ended.environment in cloud.states:
            wrong.append("its state is there")
        if ended.environment in cloud.secrets:
            wrong.append("its secrets are there")
        return "; ".join(wrong)

    def _judge_events(self) -> None:
        question = """
            SELECT e.id, e.last_event, count(v.id), coalesce(min(v.id), 1), coalesce(max(v.id), 0)
            FROM environments e LEFT JOIN events v ON v.environment_id = e.id
            GROUP BY e.id, e.last_event
        """
        for environment, last, count, first, most in self._database.ask(question):
            if not (count == last == most and first == 1):
                self.tell("events", f"{environment}: {count} events from {first} to {most}, last is {last}")

    def _judge_attempts(self) -> None:
        question = """
            SELECT o.id, o.status, o.attempts, count(a.lease_token),
                   count(a.lease_token) FILTER (WHERE a.ended_at IS NULL)
            FROM operations o LEFT JOIN attempts a ON a.operation_id = o.id
            GROUP BY o.id, o.status, o.attempts
        """
        final = {OperationStatus.SUCCEEDED, OperationStatus.FAILED, OperationStatus.CANCELLED}
        for operation, status, attempts, rows, live in self._database.ask(question):
            if attempts != rows and status != OperationStatus.QUEUED:
                self.tell("attempts", f"{operation} counts {attempts} attempts and has {rows}")
            if live and status in final:
                self.tell("attempts", f"{operation} is {status} and has a live attempt")

    def recoveries(self, deaths: Mapping[str, float]) -> list[float]:
        """Return after how many seconds operations of killed workers were taken up by another attempt."""
        question = """
            SELECT a.worker, extract(epoch FROM next.started_at)::float
            FROM attempts a JOIN attempts next
              ON next.operation_id = a.operation_id AND next.number = a.number + 1
            ORDER BY next.started_at, a.lease_token
        """
        rows = self._database.ask(question)
        return [at - self._database.epoch_of(deaths[worker]) for worker, at in rows if worker in deaths]


def figures(values: list[float]) -> dict[str, Any]:
    """Return p50, p95 and the greatest of some seconds."""
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p95": round(ordered[int(len(ordered) * 0.95)], 1),
        "max": round(ordered[-1], 1),
        "of": len(ordered),
    }
