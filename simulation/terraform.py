"""Terraform of the simulated world, by the rules of the genuine one.

The state is written at most every 20 s and at the end; one interrupt lets nothing new begin, leaves creates
in flight tainted in the state and deletes in flight in it; a kill leaves the state as it was last written.
What was asked of the cloud goes on in any case. `tests/simulation` compares this with genuine Terraform.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from simulation.catalog import KINDS, OUTPUTS
from simulation.children import Child
from simulation.cloud import CREATING, DELETING, READY, Refused, Thing
from simulation.world import World

PERSIST_SECONDS = 20.0
PLAN_FILE = "kept.plan"
IMPORTS_FILE = "adopt.tf.json"
"""As the product names its files."""
_PARALLEL = 10
_POLL_SECONDS = 2.0
_DELETE_PATIENCE_SECONDS = 40.0
_CREATE, _DELETE = "create", "delete"


@dataclass
class Entry:
    """A resource in a state."""

    id: str
    is_tainted: bool = False


@dataclass
class State:
    """Terraform's state: what it knows, and how often it was written."""

    serial: int
    lineage: str
    entries: dict[str, Entry]

    @classmethod
    def of(cls, document: dict[str, Any] | None) -> "State":
        """Read a document; none is an empty state that was never written."""
        if document is None:
            return cls(0, "", {})
        entries = {
            f"{one['type']}.{one['name']}": Entry(
                instance["attributes"]["id"], instance.get("status") == "tainted"
            )
            for one in document["resources"]
            for instance in one["instances"]
        }
        return cls(document["serial"], document["lineage"], entries)

    def text(self) -> str:
        """Return the document that Terraform would write."""
        resources = []
        for address, entry in sorted(self.entries.items()):
            type_, name = address.split(".", 1)
            instance: dict[str, Any] = {"schema_version": 0, "attributes": {"id": entry.id}}
            if entry.is_tainted:
                instance["status"] = "tainted"
            resources.append({"mode": "managed", "type": type_, "name": name, "instances": [instance]})
        outputs = {
            name: {"value": self._value(source), "type": "string"}
            for name, source in OUTPUTS.items()
            if self._value(source) is not None
        }
        document = {
            "version": 4,
            "terraform_version": "1.11.4",
            "serial": self.serial,
            "lineage": self.lineage,
        }
        return json.dumps(document | {"outputs": outputs, "resources": resources})

    def _value(self, source: str) -> str | None:
        if source not in KINDS:
            return source
        entry = self.entries.get(source)
        return None if entry is None or entry.is_tainted else entry.id


@dataclass(eq=False)
class _Operation:
    action: str
    address: str
    thing: Thing | None = None
    is_sent: bool = False
    is_over: bool = False
    began: float = 0.0
    waits_for: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class _Plan:
    """What is to be done to a state of a serial number.

    Attributes:
        known: the addresses in the state after it was compared with the cloud.
    """

    serial: int
    delete: list[str]
    create: list[str]
    adopt: dict[str, str]
    known: list[str]

    def actions(self, address: str) -> list[str]:
        """Return Terraform's words for what is done to a resource."""
        done = [_DELETE] * (address in self.delete) + [_CREATE] * (address in self.create)
        return done or ["no-op"]

    def operations(self) -> list[_Operation]:
        """Return what is to be done, each with what goes before it."""
        doomed = [
            _Operation(
                _DELETE,
                address,
                waits_for={(_DELETE, one) for one in self.delete if address in KINDS[one].needs},
            )
            for address in self.delete
        ]
        made = [
            _Operation(
                _CREATE,
                address,
                waits_for={(_CREATE, one) for one in KINDS[address].needs if one in self.create}
                | {(_DELETE, one) for one in [address] if one in self.delete},
            )
            for address in self.create
        ]
        return doomed + made


class TerraformRun(Child):
    """One command."""

    def __init__(self, world: World, argv: Sequence[str], cwd: Path, environment: str) -> None:
        super().__init__(world, argv, cwd, environment)
        self.state = State.of(None)
        self._operations: dict[tuple[str, str], _Operation] = {}
        self._is_walking = False
        self._written = ""
        self._persisted = 0.0
        self._errors = 0

    @property
    def writes(self) -> bool:  # type: ignore[override]
        """Whether it may change the state or anything in the account."""
        return self.argv[1] in ("apply", "destroy", "untaint") or list(self.argv[1:3]) == ["state", "push"]

    def start(self) -> None:
        """Read the backend, then do what the command is for."""
        commands: dict[str, Callable[[], None]] = {
            "init": lambda: self.end(0),
            "plan": self._refresh,
            "apply": self._apply_saved if self.argv[-1] == PLAN_FILE else self._refresh,
            "destroy": self._refresh,
            "show": self._show,
            "output": self._output,
            "state": self._state_command,
            "untaint": self._untaint,
        }
        do = commands[self.argv[1]]
        # A saved plan is shown without a look at the backend.
        self.later(0.8, do if self.argv[1] == "show" else partial(self._with_state, do))

    def interrupted(self) -> None:
        """Begin nothing more, give up what is being waited for, write the state, end."""
        if not self._is_walking:
            self.later(0.3, self._finish)
            return
        running = [one for one in self._operations.values() if one.began and not one.is_over]
        for operation in running:
            self.later(0.8, partial(self._cancel, operation))
        if not running:
            self.later(0.3, self._finish)

    # Reading.

    def _with_state(self, do: Callable[[], None]) -> None:
        if self.world.cloud.is_store_away:
            self._fail("Error refreshing state: operation error S3: GetObject, https response error 503")
            return
        self.state = State.of(self.world.cloud.read_state(self.environment))
        self._written = self.world.cloud.states.get(self.environment, "")
        do()

    def _output(self) -> None:
        document = self.world.cloud.read_state(self.environment) or {"outputs": {}}
        self.output = json.dumps(document["outputs"])
        self.end(0)

    def _state_command(self) -> None:
        verb = self.argv[2]
        text = self.world.cloud.states.get(self.environment)
        if verb == "pull":
            self.output = text or ""
        elif verb == "list":
            if text is None:
                self._fail("No state file was found!")
                return
            self.output = "\n".join(sorted(self.state.entries))
        elif verb == "push":
            self._push((self.cwd / self.argv[-1]).read_text())
            return
        self.end(0)

    def _push(self, text: str) -> None:
        pushed = State.of(json.loads(text))
        if self.state.lineage and (
            pushed.lineage != self.state.lineage or pushed.serial <= self.state.serial
        ):
            self._fail("cannot import state with serial lower than or equal to the existing one")
            return
        self.world.cloud.states[self.environment] = text
        self.end(0)

    def _untaint(self) -> None:
        entry = self.state.entries.get(self.argv[-1])
        if entry is not None and entry.is_tainted:
            entry.is_tainted = False
            if not self._persist():
                self._fail("Failed to save state", "operation error S3: PutObject, 503")
                return
        self.end(0)

    def _show(self) -> None:
        plan = _Plan(**json.loads((self.cwd / PLAN_FILE).read_text()))
        changes = [
            {"address": one, "mode": "managed", "change": {"actions": plan.actions(one)}}
            | (
                {"change": {"actions": plan.actions(one), "importing": {"id": plan.adopt[one]}}}
                if one in plan.adopt
                else {}
            )
            for one in KINDS
            if plan.actions(one) != ["no-op"] or one in plan.adopt
        ]
        self.output = json.dumps({"resource_changes": changes})
        self.end(0)

    # Planning.

    def _document_of(self, name: str) -> dict[str, Any]:
        file = self.cwd / name
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    def _configured(self) -> set[str]:
        resources = self._document_of("cdk.tf.json").get("resource", {})
        return {f"{type_}.{name}" for type_, named in resources.items() for name in named}

    def _imports(self) -> dict[str, str]:
        blocks = self._document_of(IMPORTS_FILE).get("import", ())
        return {one["to"]: one["id"] for one in blocks if one["to"] not in self.state.entries}

    def _refresh(self) -> None:
        cloud = self.world.cloud
        for address, entry in list(self.state.entries.items() if "-refresh=false" not in self.argv else ()):
            if entry.id not in cloud.things:
                del self.state.entries[address]
            else:
                self._hook("refresh_complete", address, "read", {})
        self.later(0.5, self._plan)

    def _plan(self) -> None:
        if self.is_interrupted:
            self._finish()
            return
        known = self.state.entries
        is_destroy = self.argv[1] == "destroy"
        targets = {one.removeprefix("-target=") for one in self.argv if one.startswith("-target=")}
        planned = targets | self._below(targets) if targets and not is_destroy else set(KINDS)
        wanted = set() if is_destroy else self._configured() & planned
        adopt = {} if is_destroy else {one: id_ for one, id_ in self._imports().items() if one in planned}
        for address, id_ in adopt.items():
            found = self.world.cloud.things.get(id_)
            if found is None or found.address != address or found.environment != self.environment:
                self._fail("Cannot import non-existent remote object", f"{address} has no {id_}")
                return
        doomed = {one for one, entry in known.items() if entry.is_tainted or one not in wanted} & planned
        if targets and is_destroy:
            doomed = {one for one in known if one in targets}
        doomed |= self._above(doomed)
        made = {one for one in wanted if one not in adopt and (one not in known or one in doomed)}
        plan = _Plan(
            self.state.serial,
            # In the order of the catalog: sets have none that another process would have, too.
            [one for one in KINDS if one in doomed],
            [one for one in KINDS if one in made],
            adopt,
            sorted(known),
        )
        for operation in plan.operations():
            change = {"resource": self._resource(operation.address), "action": operation.action}
            self._document(
                "planned_change", f"{operation.address}: Plan to {operation.action}", change=change
            )
        changes = {"add": len(made), "change": 0, "remove": len(doomed), "operation": "plan"}
        self._document("change_summary", "Plan.", changes=changes)
        if self.argv[1] == "plan":
            (self.cwd / PLAN_FILE).write_text(json.dumps(asdict(plan)))
            self.end(0)
        else:
            self._carry_out(plan)

    def _apply_saved(self) -> None:
        saved = self._document_of(PLAN_FILE)
        if not saved:
            # Its disk went, with its worker, before it had begun.
            self._fail("Failed to load the plan file", f"open {PLAN_FILE}: no such file or directory")
            return
        plan = _Plan(**saved)
        if plan.serial != self.state.serial:
            self._fail("Saved plan is stale", "The state was changed by another operation.")
            return
        for address in [one for one in self.state.entries if one not in plan.known]:
            del self.state.entries[address]
        self._carry_out(plan)

    def _carry_out(self, plan: "_Plan") -> None:
        self._operations = {(one.action, one.address): one for one in plan.operations()}
        for address, id_ in plan.adopt.items():
            self.state.entries[address] = Entry(id_)
        self._persisted = self.baton.now
        self._is_walking = True
        self._walk()

    def _below(self, addresses: set[str]) -> set[str]:
        """Return what these rest upon."""
        found: set[str] = set()
        for address in reversed(KINDS):  # each comes after what it needs
            if address in found | addresses:
                found |= set(KINDS[address].needs)
        return found

    def _above(self, addresses: set[str]) -> set[str]:
        """Return what is in the state and rests upon these: it goes with them."""
        found: set[str] = set()
        for address in KINDS:  # each comes after what it needs
            if address in self.state.entries and (found | addresses) & set(KINDS[address].needs):
                found.add(address)
        return found

    # Walking.

    def _walk(self) -> None:
        if self.returncode is not None:
            return
        open_ = [one for one in self._operations.values() if not one.is_over]
        running = [one for one in open_ if one.began]
        if not self.is_interrupted:
            done = {key for key, one in self._operations.items() if one.is_over}
            for operation in open_:
                if len(running) < _PARALLEL and not operation.began and operation.waits_for <= done:
                    running.append(operation)
                    self._begin(operation)
        if not running:
            self.later(0.3, self._finish)

    def _begin(self, operation: _Operation) -> None:
        operation.began = self.baton.now
        self._hook("apply_start", operation.address, operation.action, {})
        self.later(0.3, lambda: self._send(operation))

    def _send(self, operation: _Operation) -> None:
        """The request reaches the cloud; its answer comes a moment later."""
        if operation.is_over:
            return
        try:
            if operation.action == _CREATE:
                thing = self.world.cloud.create(self.environment, operation.address, self.tag)
                self.later(0.15, lambda: self._answered(operation, thing))
            else:
                found = self.world.cloud.things.get(self.state.entries[operation.address].id)
                if found is not None:
                    self.world.cloud.delete(found, self.tag)
                operation.thing = found
                self.later(0.15, lambda: self._look(operation))
        except Refused as error:
            refusal = str(error)
            late = self.baton.now - operation.began > _DELETE_PATIENCE_SECONDS
            if "DependencyViolation" in refusal and not late:
                self.later(_POLL_SECONDS, lambda: self._send(operation))
            else:
                self.later(0.15, lambda: self._failed(operation, refusal))

    def _answered(self, operation: _Operation, thing: Thing) -> None:
        operation.thing = thing
        self._look(operation)

    def _look(self, operation: _Operation) -> None:
        """See how far the cloud has come with it."""
        if operation.is_over:
            return
        thing = operation.thing
        if operation.action == _DELETE:
            if thing is None or thing.id not in self.world.cloud.things:
                self.state.entries.pop(operation.address, None)
                self._complete(operation, {})
                return
        else:
            assert thing is not None
            if thing.status == READY:
                self.state.entries[operation.address] = Entry(thing.id)
                self._complete(operation, {"id_key": "id", "id_value": thing.id})
                return
            if thing.status not in (CREATING, DELETING):
                self._failed(operation, f"unexpected state '{thing.status}', wanted target 'READY'")
                return
        self.later(_POLL_SECONDS, lambda: self._look(operation))

    def _cancel(self, operation: _Operation) -> None:
        if not operation.is_over:
            self._failed(operation, "context canceled")

    def _complete(self, operation: _Operation, more: dict[str, str]) -> None:
        operation.is_over = True
        seconds = {"elapsed_seconds": int(self.baton.now - operation.began)}
        self._hook("apply_complete", operation.address, operation.action, more | seconds)
        self._persist_if_due()
        self._walk()

    def _failed(self, operation: _Operation, why: str) -> None:
        if operation.is_over:
            return
        operation.is_over = True
        self._errors += 1
        if operation.action == _CREATE and operation.thing is not None:
            # Its id was known, so it is in the state, as something that is not as it should be.
            self.state.entries[operation.address] = Entry(operation.thing.id, is_tainted=True)
        # What waits for it is not begun.
        for other in self._operations.values():
            if not other.began and (operation.action, operation.address) in other.waits_for:
                self._skip(other)
        self._hook("apply_errored", operation.address, operation.action, {})
        diagnostic = {"severity": "error", "summary": why, "address": operation.address}
        self._document("diagnostic", f"Error: {why}", level="error", diagnostic=diagnostic)
        self._persist_if_due()
        self._walk()

    def _skip(self, operation: _Operation) -> None:
        operation.is_over = True
        for other in self._operations.values():
            if not other.is_over and (operation.action, operation.address) in other.waits_for:
                self._skip(other)

    # Writing.

    def _persist_if_due(self) -> None:
        # After an interrupt it is written with every change.
        if self.is_interrupted or self.baton.now - self._persisted >= PERSIST_SECONDS:
            self._persist()

    def _persist(self) -> bool:
        """Write the state if it has changed; return whether the backend has it now."""
        text = self.state.text()
        if text == self._written or (not self._written and not self.state.entries):
            return True
        if self.world.cloud.is_store_away:
            return False
        self._persisted = self.baton.now
        self._advance()
        self._written = self.world.cloud.states[self.environment] = self.state.text()
        self.baton.note(f"state of {self.environment} written: {self.state.serial}")
        return True

    def _advance(self) -> None:
        self.state.serial += 1
        if not self.state.lineage:
            self.state.lineage = str(UUID(int=self.baton.latency.getrandbits(128), version=4))

    def _finish(self) -> None:
        if self._is_walking and not self._persist():
            self._advance()
            (self.cwd / "errored.tfstate").write_text(self.state.text())
            self._fail("Failed to save state", "Error saving state: operation error S3: PutObject, 503")
            return
        if self.is_interrupted:
            self._fail("operation canceled")
        else:
            self.end(1 if self._errors else 0)

    # Telling.

    def _resource(self, address: str) -> dict[str, str]:
        return {"addr": address, "resource_type": address.split(".", 1)[0]}

    def _hook(self, type_: str, address: str, action: str, more: dict[str, Any]) -> None:
        hook = {"resource": self._resource(address), "action": action} | more
        self._document(type_, f"{address}: {type_}", hook=hook)

    def _document(self, type_: str, message: str, *, level: str = "info", **data: Any) -> None:
        self.say(json.dumps({"@level": level, "@message": message, "type": type_} | data))

    def _fail(self, summary: str, detail: str = "") -> None:
        if "-json" in self.argv and self.argv[1] not in ("output", "show"):
            diagnostic = {"severity": "error", "summary": summary, "detail": detail}
            self._document("diagnostic", f"Error: {summary}", level="error", diagnostic=diagnostic)
        else:
            self.output = f"Error: {summary}\n\n{detail}\n"
        self.end(1)
