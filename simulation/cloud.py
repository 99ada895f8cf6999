"""The cloud of the simulated world: what stands in it, who asked for that, and the state bucket.

Things go on by themselves: what was asked for becomes ready although its caller has died, and what is being
deleted goes. Nothing here asks the product anything.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from beta9_provisioning.clouds.cloud import StateLock
from simulation.baton import Baton, Signal
from simulation.catalog import KINDS, LOAD_BALANCER, Kind

CREATING, READY, FAILED, DELETING = "CREATING", "READY", "FAILED", "DELETING"


class Refused(Exception):
    """The cloud refused a request, in its own words."""


@dataclass(eq=False)
class Thing:
    """Something that stands in the cloud."""

    environment: str
    kind: Kind
    id: str
    status: str
    changed: Signal = field(default_factory=Signal)

    @property
    def address(self) -> str:
        """What Terraform calls it."""
        return self.kind.address


@dataclass(frozen=True)
class Deed:
    """A change that somebody asked for: who, in whose name, what."""

    at: float
    tag: str
    what: str
    environment: str
    address: str
    was_failed: bool = False


class Cloud:
    """One cloud for all environments.

    Attributes:
        states: the text of Terraform's state, by environment.
        locks: of these states.
        stacks: which operation's stack lies beside the state, and it, by environment.
        unsaved: states that lie there, by environment and attempt.
        deeds: all changes that were asked for.
        twice: descriptions of what was created although it stood already.
        pace: how long everything takes, as a share of what the catalog says.
        making: seconds until an address is ready, where it is not as the catalog says.
        slow: how likely a thing takes much longer than usual.
        failing: how likely a thing that is being made fails for good.
        store_away_until: until when the bucket answers nothing but faults.
    """

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self.things: dict[str, Thing] = {}
        self.states: dict[str, str] = {}
        self.locks: dict[str, StateLock] = {}
        self.stacks: dict[str, tuple[str, bytes]] = {}
        self.unsaved: dict[str, dict[str, bytes]] = {}
        self.buckets: set[str] = set()
        self.secrets: set[str] = set()
        self.deeds: list[Deed] = []
        self.twice: list[str] = []
        self.pace = 1.0
        self.making: dict[str, float] = {}
        self.slow = 0.0
        self.failing = 0.0
        self.store_away_until = 0.0
        self._ids = 0

    def of(self, environment: str) -> dict[str, list[Thing]]:
        """Return what stands of an environment, by address."""
        found: dict[str, list[Thing]] = {}
        for thing in self.things.values():
            if thing.environment == environment:
                found.setdefault(thing.address, []).append(thing)
        return found

    def find(self, environment: str, address: str) -> Thing | None:
        """Return the first thing of an address."""
        return next(
            (
                one
                for one in self.things.values()
                if one.environment == environment and one.address == address
            ),
            None,
        )

    def create(self, environment: str, address: str, tag: str) -> Thing:
        """Begin to make something.

        Raises:
            Refused: it has a name that is taken, or what it needs does not stand.
        """
        kind = LOAD_BALANCER if address == LOAD_BALANCER.address else KINDS[address]
        standing = self.find(environment, address)
        if standing is not None and kind.is_repeatable and standing.status != DELETING:
            return standing
        if standing is not None and kind.is_unique:
            raise Refused(f"AlreadyExistsException: {address} exists already")
        for needed in kind.needs:
            base = self.find(environment, needed)
            if base is None or base.status != READY:
                raise Refused(f"InvalidParameter: {address} needs {needed}")
        self.deeds.append(Deed(self._baton.now, tag, "create", environment, address))
        if standing is not None and standing.status != DELETING:
            self.twice.append(
                f"{address} of {environment} was created by {tag} although {standing.id} stands"
            )
        self._ids += 1
        thing = Thing(environment, kind, f"{kind.type}-{self._ids}", CREATING)
        self.things[thing.id] = thing
        self._baton.note(f"cloud creates {thing.id} of {environment}")
        chance = self._baton.latency
        spread = 0.7 + 0.6 * chance.random()
        seconds = self.making.get(address, self.pace * kind.making * spread)
        if chance.random() < self.slow:
            seconds *= 6
        end = FAILED if chance.random() < self.failing else READY
        self._baton.after(seconds, lambda: self._become(thing, CREATING, end))
        return thing

    def delete(self, thing: Thing, tag: str) -> None:
        """Begin to delete something; what is gone, or goes already, is left alone.

        Raises:
            Refused: something that stands needs it.
        """
        if thing.id not in self.things or thing.status == DELETING:
            return
        holders = [
            one.id
            for one in self.things.values()
            if self._is_held_by(thing, one) and not one.kind.is_repeatable
        ]
        if holders:
            raise Refused(f"DependencyViolation: {thing.id} has dependencies: {', '.join(holders)}")
        was_failed = thing.status == FAILED
        self.deeds.append(Deed(self._baton.now, tag, "delete", thing.environment, thing.address, was_failed))
        self._baton.note(f"cloud deletes {thing.id} of {thing.environment}")
        thing.status = DELETING
        seconds = self.pace * thing.kind.deleting * (0.7 + 0.6 * self._baton.latency.random())
        self._baton.after(seconds, lambda: self._vanish(thing))
        self._baton.wake(thing.changed)

    def nodes_ready(self, environment: str) -> int:
        """Return how many nodes of the cluster are ready: two a group."""
        groups = [
            one
            for address, things in self.of(environment).items()
            for one in things
            if address.startswith("aws_eks_node_group.") and one.status == READY
        ]
        return 2 * len(groups)

    # The state bucket.

    def read_state(self, environment: str) -> dict[str, Any] | None:
        """Return a state as a document; None when there is none."""
        text = self.states.get(environment)
        return None if text is None else json.loads(text)

    @property
    def is_store_away(self) -> bool:
        """Whether the bucket answers nothing but faults."""
        return self._baton.now < self.store_away_until

    def lock(self, environment: str, lock: StateLock) -> StateLock | None:
        """Make the lock unless there is one; return the one in the way."""
        held = self.locks.setdefault(environment, lock)
        return None if held.id == lock.id else held

    def unlock(self, environment: str, lock_id: str) -> bool:
        """Remove the lock if it has this id."""
        held = self.locks.get(environment)
        if held is None or held.id != lock_id:
            return False
        del self.locks[environment]
        return True

    def _become(self, thing: Thing, before: str, after: str) -> None:
        if thing.status == before and thing.id in self.things:
            thing.status = after
            self._baton.note(f"cloud has {thing.id} {after}")
            self._baton.wake(thing.changed)

    def _is_held_by(self, thing: Thing, other: Thing) -> bool:
        return other.environment == thing.environment and thing.address in other.kind.needs

    def _vanish(self, thing: Thing) -> None:
        # What is no more than a setting of something goes with it.
        for other in [one for one in self.things.values() if self._is_held_by(thing, one)]:
            if other.kind.is_repeatable:
                self._vanish(other)
        self.things.pop(thing.id, None)
        self._baton.note(f"cloud lost {thing.id}")
        self._baton.wake(thing.changed)
