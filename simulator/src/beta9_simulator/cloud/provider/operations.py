"""Creates, reads, updates, deletes and imports objects in the store, at the pace of the modelled cloud."""

import re
import string
import threading
import time
from typing import Any

from beta9_simulator.cloud import behaviours, checks, deleting
from beta9_simulator.cloud.authorization.gate import Gate
from beta9_simulator.cloud.authorization.provider_needs import Change, needs
from beta9_simulator.cloud.behaviours import Scope
from beta9_simulator.cloud.catalog import Entry, catalog
from beta9_simulator.cloud.demand import Demand
from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.provider.filling import fill
from beta9_simulator.cloud.provider.schema import Block
from beta9_simulator.cloud.provider.values import UNKNOWN
from beta9_simulator.cloud.reading import current, read_back
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store, StoredObject
from beta9_simulator.cloud.templates import Context, render_whole

State = dict[str, Any]
_POLL_SECONDS = 0.2
_CREATE, _UPDATE = range(2)
_PLACEHOLDER = re.compile(r"\$\{?(\w+)\}?")
_ID_SHAPES = {"hex": "[0-9a-f]{8,17}", "digits": r"\d+", "upper": "[A-Z0-9]+", "alnum": "[a-z0-9]+"}


class Stopped(Exception):
    """Terraform asked the provider to stop while it waited; ``target`` is the object as it was left."""

    def __init__(self, target: StoredObject) -> None:
        super().__init__("context canceled")
        self.target = target


class FailedError(Exception):
    """The cloud took a request and gave it up later; ``target`` is the object as it was left."""

    def __init__(self, target: StoredObject, why: str) -> None:
        super().__init__(why)
        self.target = target


class TimedOut(Exception):
    """Waiting took longer than it may; the cloud goes on, and ``target`` is the object as it was left."""

    def __init__(self, target: StoredObject, seconds: float) -> None:
        super().__init__(
            "timeout while waiting for state to become 'ACTIVE' "
            f"(last state: '{target.status.upper()}', timeout: {seconds:g}s)"
        )
        self.target = target


class Operations:
    """The operations of one provider configuration; ``stopping`` is set once Terraform says stop."""

    def __init__(self, store: Store, principal: Principal, region: str, stopping: threading.Event) -> None:
        self._store = store
        self._account = principal.account
        self._region = region
        self._caller = principal.identity
        self._stopping = stopping
        self._gate = Gate(store, principal)

    def create(self, type: str, block: Block, planned: State, config: State) -> State:
        """Create an object and wait until it is available; return its state.

        ``config`` holds the write-only values. Raises ``CloudError`` when the cloud refuses,
        ``FailedError`` when it fails later, ``Stopped`` when the wait was cut short, and ``TimedOut`` when it
        took longer than the setting ``gives_up:<type>`` (seconds) allows; after these the object exists.
        """
        entry = catalog()[type]
        self._fail_if_told(type, "create")
        scope = self._scope(entry, planned)
        asked = {key: value for key, value in planned.items() if value is not UNKNOWN}
        state = fill(self._store, scope, type, block, planned)
        self._ask(Change(type, "create", scope.account, self._region, state, asked=asked))
        new = NewObject(
            scope.account, scope.region, type, state["id"], self._name(entry, state), state, self._caller
        )
        checks.check_demand(type, Demand(self._store, scope.account, scope.region, state, None, config))
        hidden = checks.remembered(type, state)
        kept = NewObject(**{**vars(new), "state": {**_readable(entry, state), **hidden}})
        made = self._store.create(
            kept,
            self._create_seconds(type, entry, state),
            lambda: checks.check_create(self._store, new),
            replace=entry.put,
        )
        if type in behaviours.CREATED:
            behaviours.CREATED[type](self._store, StoredObject(**{**vars(made), "state": state}), config)
        self._wait(made, self._store.setting(f"gives_up:{type}"))
        if why := checks.failure(self._store, made):
            self._store.edit(made, failed=why)
            raise FailedError(made, why)
        return state

    def read(self, type: str, state: State) -> State | None:
        """Return an object's state as the cloud shows it, or None when it is gone.

        Attributes that the cloud never returns keep the values of ``state``.
        """
        entry = catalog()[type]
        self._fail_if_told(type, "read")
        scope = self._scope(entry, state)
        self._ask(Change(type, "read", scope.account, self._region, state))
        found = self._store.get(scope.account, scope.region, type, state["id"])
        if found is None:
            return None
        return read_back(found, state)

    def update(self, type: str, block: Block, prior: State, planned: State, config: State) -> State:
        """Change an object in place and wait until it has settled; return its state."""
        entry = catalog()[type]
        self._fail_if_told(type, "update")
        scope = self._scope(entry, prior)
        found = self._store.get(scope.account, scope.region, type, prior["id"])
        if found is None:
            raise CloudError("ResourceNotFoundException", f"{entry.noun} {prior['id']} does not exist")
        if entry.counter:
            planned[entry.counter] = prior[entry.counter] + (planned != prior)
        state = fill(self._store, scope, type, block, planned, id=prior["id"])
        self._ask(Change(type, "update", scope.account, self._region, state, prior))
        checks.check_demand(type, Demand(self._store, scope.account, scope.region, state, prior, config))
        checks.check_update(self._store, found, state)
        hidden = {key: value for key, value in found.state.items() if key not in state}
        self._store.update(found, {**hidden, **_readable(entry, state)}, self._seconds(entry, _UPDATE))
        self._wait(found)
        return state

    def delete(self, type: str, prior: State) -> None:
        """Delete an object and wait until it is gone; deleting what is gone already is no error.

        A refusal that may pass (a dependency) is retried for as long as the genuine provider would.
        """
        entry = catalog()[type]
        self._fail_if_told(type, "delete")
        scope = self._scope(entry, prior)
        self._ask(Change(type, "delete", scope.account, self._region, prior))
        deadline = time.monotonic() + entry.delete_retry * self._store.time_scale
        found = self._store.get(scope.account, scope.region, type, prior["id"])
        while found is not None and found.status != "deleting":
            try:
                self._start_delete(found, prior)
                break
            except CloudError as refusal:
                if refusal.code != "DependencyViolation" or time.monotonic() >= deadline:
                    raise
            if self._stopping.wait(_POLL_SECONDS):
                raise Stopped(found)
            found = self._store.get(scope.account, scope.region, type, prior["id"])
        if found is not None:
            self._wait(found)

    def import_one(self, type: str, id: str) -> State:
        """Return what a read shows of the object with an import id of the type's true form."""
        entry = catalog()[type]
        region = GLOBAL if entry.is_global else self._region
        for found in self._store.find(type, account=self._account, region=region):
            context = Context(id=found.id).add(found.state)
            if id in (render_whole(template, context) for template in entry.imports):
                self._ask(Change(type, "read", self._account, self._region, found.state))
                return _imported(entry, {**current(found), **entry.unread})
        self._check_import_form(type, entry, id)
        raise CloudError(
            "Cannot import non-existent remote object",
            f"{type} {id!r} does not exist in account {self._account}, region {self._region}. "
            "Only pre-existing objects can be imported.",
        )

    def _check_import_form(self, type: str, entry: Entry, id: str) -> None:
        templates = [entry.id if template == "$id" else template for template in entry.imports]
        if not any(_shape(template).fullmatch(id) for template in templates):
            wanted = " or ".join(_PLACEHOLDER.sub(r"<\1>", template) for template in templates)
            raise CloudError(
                "unexpected format of ID", f"{id!r} is no import id of {type}, expected {wanted}"
            )

    def _ask(self, change: Change) -> None:
        """Be refused, if the caller's policies do not allow all that the provider calls for this."""
        self._gate.ask(lambda: needs(self._store, change), self._region)

    def _scope(self, entry: Entry, state: State) -> Scope:
        region = GLOBAL if entry.is_global else str(state.get("region") or self._region)
        return Scope(self._account, region, self._caller)

    def _create_seconds(self, type: str, entry: Entry, state: State) -> float:
        """A setting ``create_seconds:<type>`` makes one type slow (or quick) whatever the time scale."""
        told = self._store.setting(f"create_seconds:{type}")
        if told:
            return float(told)
        modelled = checks.create_seconds(type, state)
        return self._seconds(entry, _CREATE) if modelled is None else modelled * self._store.time_scale

    def _seconds(self, entry: Entry, kind: int) -> float:
        return entry.latency[kind] * self._store.time_scale

    @staticmethod
    def _name(entry: Entry, state: State) -> str:
        tags = state.get("tags") or {}
        return str(state.get(entry.name) or tags.get("Name", ""))

    def _start_delete(self, found: StoredObject, prior: State) -> None:
        if found.type in behaviours.REFUSED:
            behaviours.REFUSED[found.type](self._store, found, prior)
        deleting.delete(self._store, found)

    def _wait(self, target: StoredObject, gives_up: str = "") -> None:
        """Wait until nothing is going on with an object, or it is gone; or for so many seconds."""
        deadline = time.monotonic() + float(gives_up or "inf")
        while True:
            found = self._store.get(target.account, target.region, target.type, target.id)
            if found is None or found.uid != target.uid or found.status == "available":
                return
            if time.monotonic() >= deadline:
                raise TimedOut(found, float(gives_up))
            if self._stopping.wait(min(_POLL_SECONDS, max(0.0, found.busy_until - time.time()))):
                raise Stopped(found)

    def _fail_if_told(self, type: str, op: str) -> None:
        fault = self._store.take_fault(type, op)
        if fault is not None:
            raise CloudError(fault.summary, fault.detail)


def _readable(entry: Entry, state: State) -> State:
    """The part of a state that the cloud keeps: not what only Terraform knows."""
    return {key: None if key in (*entry.unread, "timeouts") else value for key, value in state.items()}


def _imported(entry: Entry, state: State) -> State:
    """Return what an import makes of what is read: what no read tells inside of blocks is guessed."""
    guessed = {key: [{**block, **values} for block in state[key]] for key, values in entry.imported.items()}
    return {**state, **guessed}


def _shape(template: str) -> re.Pattern[str]:
    """The form of an import id: random text by its alphabet, any other value by being there."""
    parts = []
    position = 0
    for match in _PLACEHOLDER.finditer(template):
        parts.append(re.escape(template[position : match.start()]))
        alphabet = match[1].rstrip(string.digits)
        parts.append(_ID_SHAPES.get(alphabet, ".+"))
        position = match.end()
    return re.compile("".join(parts) + re.escape(template[position:]))
