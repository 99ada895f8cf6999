"""The cases: when it strikes, what is killed, what else is wrong; all follows from seed and number."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product

from beta9_provisioning.lifecycle import Kind, OperationStatus
from beta9_provisioning.operations.workflows import DESTROY, PROVISION


class Victim(StrEnum):
    """What is killed with SIGKILL."""

    NONE = "nothing"
    API = "an API process"
    WORKER = "the worker"
    POD = "the pod"
    LAUNCHER = "the launcher"
    TERRAFORM = "Terraform"
    HELM = "Helm"
    REDIS = "Redis"
    POSTGRES = "PostgreSQL"
    BACKEND = "a backend of PostgreSQL"


class Fault(StrEnum):
    """What else goes wrong."""

    NONE = "nothing else"
    SIGTERM = "SIGTERM to the worker"
    UPDATE = "a rolling update to other settings"
    PARTITION = "a partition between worker and database"
    FROZEN = "a worker that stands still"
    REDIS_FLUSHED = "Redis flushed"
    POSTGRES_RESTARTED = "PostgreSQL restarted"
    POSTGRES_AWAY = "PostgreSQL away for longer than a lease"
    BACKEND_ENDED = "a backend ended by an administrator"
    STATE_STORE = "a state store that answers 503"
    THROTTLED = "a cloud that throttles"
    CREATE_TIMES_OUT = "a create that times out while CREATING"
    FULL_DISK = "a full disk"
    COLD_WORKER = "nobody but a cold worker"
    DELETED = "a user who deletes it meanwhile"


class When(StrEnum):
    """Whether the fault comes before the kill or after it, with the next attempt."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class Trigger:
    """A kind of event in the journal of an operation, and how many seconds after it is acted."""

    kind: Kind
    type: str
    where: tuple[tuple[str, str], ...] = ()
    pause: float = 0.0

    def __str__(self) -> str:
        words = " ".join(value for _, value in self.where)
        return f"{self.kind} {self.type} {words}".strip() + (f" + {self.pause:.1f} s" if self.pause else "")

    def fits(self, type_: str, data: dict[str, object]) -> bool:
        """Whether an event is of this kind."""
        return type_ == self.type and all(data.get(key) == value for key, value in self.where)


@dataclass(frozen=True)
class Case:
    """One life of one to four environments, of which the first is watched.

    Attributes:
        name: how it is called on the command line.
        default_settings: whether the product has its default settings, or short leases.
        pause: seconds between fault and kill.
        environments: how many are built at the same time.
        creating: seconds that the create of a database takes, so that it is in flight when it strikes; 0: as
            long as all else.
    """

    seed: int
    name: str
    default_settings: bool
    trigger: Trigger
    victim: Victim
    fault: Fault
    when: When
    pause: float
    environments: int
    creating: float = 0.0

    def __str__(self) -> str:
        what = [f"kill {self.victim}"] if self.victim is not Victim.NONE else []
        if self.fault is not Fault.NONE:
            what.append(f"{self.fault}{f' ({self.when})' if what else ''}")
        settings = "default settings" if self.default_settings else "short leases"
        slow = f", databases take {self.creating:g} s" if self.creating else ""
        return f"{' and '.join(what)} at {self.trigger}; {self.environments} environments, {settings}{slow}"

    @property
    def random(self) -> random.Random:
        """What is left to chance while it runs."""
        return random.Random(f"{self.seed}/{self.name}")


def _events(kind: Kind, type_: str, key: str, *values: str, **more: str) -> list[Trigger]:
    return [Trigger(kind, type_, ((key, value), *more.items())) for value in values]


def _steps(kind: Kind) -> list[Trigger]:
    steps = PROVISION if kind is Kind.PROVISION else DESTROY
    return [
        Trigger(kind, type_, (("step", step.name),))
        for step in steps
        for type_ in ("step.started", "step.finished")
    ]


_RESOURCES = ("aws_vpc.main", "aws_eks_cluster.main", "aws_db_instance.main", "aws_s3_bucket.main")
_CHARTS = ("aws-load-balancer-controller", "traefik", "cert-manager", "beta9")
_P, _D = Kind.PROVISION, Kind.DESTROY
TRIGGERS: tuple[Trigger, ...] = (
    *_events(_P, "environment.status", "to", "queued", "provisioning", "bootstrapping"),
    Trigger(_P, "operation.queued"),
    Trigger(_P, "operation.claimed"),
    Trigger(_P, "choices.made"),
    *_steps(_P),
    Trigger(_P, "terraform.planned"),
    *_events(_P, "terraform.resource", "address", *_RESOURCES, phase="start"),
    *_events(_P, "terraform.resource", "address", *_RESOURCES, phase="complete"),
    Trigger(_P, "overlap.started"),
    Trigger(_P, "cluster.nodes_ready"),
    *_events(_P, "helm.release", "release", *_CHARTS, phase="start"),
    *_events(_P, "helm.release", "release", *_CHARTS, phase="complete"),
    *_events(_D, "environment.status", "to", "destroy_queued", "destroying"),
    Trigger(_D, "operation.queued"),
    Trigger(_D, "operation.claimed"),
    *_steps(_D),
    Trigger(_D, "terraform.planned"),
    *_events(_D, "terraform.resource", "address", "aws_eks_cluster.main", "aws_vpc.main", phase="start"),
    *_events(_D, "terraform.resource", "address", "aws_eks_cluster.main", "aws_vpc.main", phase="complete"),
    *_events(_D, "helm.release", "release", "beta9", "traefik", phase="uninstalled"),
    Trigger(_D, "protection.lifted"),
    Trigger(_D, "sweep.removed"),
    Trigger(_D, "inventory.empty"),
)
"""Kinds of events that every provision or destroy journals, as far as nothing goes wrong."""

_SPANS = {
    OperationStatus.PLANNING: (_P, "provisioning", 6.0),
    OperationStatus.APPLYING: (_P, "provisioning", 16.0),
    OperationStatus.BOOTSTRAPPING: (_P, "bootstrapping", 4.0),
    OperationStatus.DESTROYING: (_D, "destroying", 14.0),
}
"""Each phase: the public status that begins it, and about how many seconds are to its end."""

_EARLY_STEPS = (
    *("access", "choices", "state", "lock", "secrets", "synthesis", "init", "adopt", "plan"),
    *("objects", "drain"),
)
"""Steps before the apply, or before charts are uninstalled and Terraform destroys."""


def _is_early(trigger: Trigger) -> bool:
    """Whether Terraform and Helm still have to do after an event."""
    data = dict(trigger.where)
    if "step" in data:
        return data["step"] in _EARLY_STEPS and not (
            data["step"] == "drain" and trigger.type == "step.finished"
        )
    return data.get("to") != "bootstrapping" and trigger.type in (
        "operation.queued",
        "operation.claimed",
        "environment.status",
        "choices.made",
    )


def suits(trigger: Trigger, victim: Victim, fault: Fault) -> bool:
    """Whether there will be something to strike at or after this event."""
    data, destroys = dict(trigger.where), trigger.kind is Kind.DESTROY
    if fault is Fault.CREATE_TIMES_OUT and destroys:
        return False
    if victim in (Victim.TERRAFORM, Victim.LAUNCHER):
        applying = trigger.type == "terraform.resource" and data["phase"] == "start"
        return applying or _is_early(trigger)
    if victim is Victim.HELM:
        installing = trigger.type == "helm.release" and data["phase"] == "start"
        building = not destroys and trigger.type in ("overlap.started", "cluster.nodes_ready")
        return installing or building or _is_early(trigger)
    return True


_SILENT = (Victim.WORKER, Victim.POD)
_PAIRS = [
    (victim, fault)
    for victim, fault in product(Victim, Fault)
    if (victim, fault) != (Victim.NONE, Fault.NONE)
]
_PAIRS += [(victim, Fault.NONE) for victim in Victim if victim is not Victim.NONE]
_PAIRS_OF_DEFAULTS = [
    *((victim, Fault.NONE) for victim in _SILENT for _ in range(12)),
    *((Victim.NONE, fault) for fault in (Fault.PARTITION, Fault.FROZEN, Fault.SIGTERM, Fault.SIGTERM)),
    *((Victim.NONE, fault) for fault in (Fault.POSTGRES_RESTARTED, Fault.POSTGRES_AWAY, Fault.UPDATE)),
    *((victim, Fault.NONE) for victim in (Victim.LAUNCHER, Victim.LAUNCHER, Victim.POSTGRES, Victim.REDIS)),
    *((victim, Fault.NONE) for victim in (Victim.TERRAFORM, Victim.HELM, Victim.BACKEND, Victim.API)),
    (Victim.POD, Fault.REDIS_FLUSHED),
]


@dataclass(frozen=True)
class _Sequence:
    """The cases of a seed: pairs of victim and fault, and triggers, are used up before one comes again."""

    seed: int
    default_settings: bool

    @property
    def name(self) -> str:
        return f"{self.seed}/{'default' if self.default_settings else 'short'}"

    def pair(self, number: int) -> tuple[Victim, Fault]:
        pairs = _PAIRS_OF_DEFAULTS if self.default_settings else _PAIRS
        turn, place = divmod(number, len(pairs))
        return self._shuffled(turn)[place]

    @cache  # noqa: B019  lives as long as the process
    def _shuffled(self, turn: int) -> list[tuple[Victim, Fault]]:
        pairs = _PAIRS_OF_DEFAULTS if self.default_settings else _PAIRS
        return random.Random(f"{self.name}/{turn}/pairs").sample(pairs, len(pairs))

    @cache  # noqa: B019
    def is_anywhere(self, number: int) -> bool:
        """Whether a case strikes at a random time: every fourth, unless it needs something to strike."""
        return number % 4 == 3 and all(suits(trigger, *self.pair(number)) for trigger in TRIGGERS)

    def trigger(self, number: int) -> Trigger:
        if self.is_anywhere(number):
            order = random.Random(f"{self.name}/{number}/time")
            kind, public, span = _SPANS[order.choice(list(_SPANS))]
            return Trigger(kind, "environment.status", (("to", public),), round(order.uniform(0.1, span), 2))
        return self._events(number // len(TRIGGERS))[0][number % len(TRIGGERS)]

    @cache  # noqa: B019
    def _events(self, turn: int) -> tuple[list[Trigger], list[Trigger]]:
        """Return one event for each case of a turn, and those left; who needs one of a few comes first.

        What the turn before has left is used before anything is used again.
        """
        left = self._events(turn - 1)[1].copy() if turn else []
        again = random.Random(f"{self.name}/{turn}/events").sample(TRIGGERS, len(TRIGGERS))
        deck = [*left, *(one for one in again if one not in left)]
        numbers = [turn * len(TRIGGERS) + place for place in range(len(TRIGGERS))]
        needs = {number: sum(suits(one, *self.pair(number)) for one in TRIGGERS) for number in numbers}
        found = {}
        for number in sorted(numbers, key=lambda number: (needs[number], number)):
            fitting = [one for one in deck if suits(one, *self.pair(number))]
            found[number] = fitting[0] if fitting else self._any(number)
            if fitting and not self.is_anywhere(number):
                deck.remove(fitting[0])
        return [found[number] for number in numbers], deck

    def _any(self, number: int) -> Trigger:
        order = random.Random(f"{self.name}/{number}/event")
        return order.choice([one for one in TRIGGERS if suits(one, *self.pair(number))])


def case_of(seed: int, number: int, *, default_settings: bool = False) -> Case:
    """Return the case of a seed and a number."""
    sequence = _Sequence(seed, default_settings)
    order = random.Random(f"{sequence.name}/{number}")
    return Case(
        seed,
        f"{'default' if default_settings else 'short'}-{number}",
        default_settings,
        sequence.trigger(number),
        *sequence.pair(number),
        When.AFTER if order.random() < 0.5 else When.BEFORE,
        round(order.uniform(0.0, 2.0), 2),
        order.choices((1, 2, 3, 4), (60, 20, 10, 10))[0],
        order.choice((0.0, 0.0, 8.0, 25.0)),
    )


_SPELLED = re.compile(
    r"(?P<victim>\w+)(\+(?P<fault>\w+)(/(?P<when>\w+))?)?@(?P<kind>\w+):(?P<type>[\w.]+)(:(?P<where>[^+~!]+))?"
    r"(\+(?P<pause>[\d.]+))?(~(?P<creating>[\d.]+))?(?P<default>!default)?"
)


def named(seed: int, words: str) -> Case:
    """Return the case that is called so: by settings and number (`short-17`), or spelled out.

    Spelled out it is of one environment: what is killed, the fault, at which event, how many seconds after
    it, and how many a database takes; with short leases, unless it ends in `!default`. Such as
    `pod+full_disk/after@provision:terraform.resource:address=aws_vpc.main,phase=start+1.5~25`.
    """
    settings, _, number = words.rpartition("-")
    if number.isdigit() and settings in ("short", "default"):
        return case_of(seed, int(number), default_settings=settings == "default")
    found = _SPELLED.fullmatch(words)
    if found is None:
        raise ValueError(f"{words!r} is no case: neither short-17 nor pod@provision:step.started:step=apply")
    where = [part.partition("=") for part in (found["where"] or "").split(",") if part]
    trigger = Trigger(
        Kind(found["kind"]),
        found["type"],
        tuple((key, value) for key, _, value in where),
        float(found["pause"] or 0),
    )
    victim, fault = Victim[found["victim"].upper()], Fault[(found["fault"] or "none").upper()]
    when = When(found["when"] or When.BEFORE)
    is_default, creating = found["default"] is not None, float(found["creating"] or 0)
    return Case(seed, words, is_default, trigger, victim, fault, when, 0.0, 1, creating)
