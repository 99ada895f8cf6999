"""Tells the journal what Terraform does: its events become ours, with progress beside them."""

from collections.abc import Callable
from typing import Any, Protocol

from beta9_provisioning.engine.processes.tolerant import Tolerant
from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.engine.terraform.progress import Progress

# Comes with every mirror that serves one platform; there is nobody to add the others' hashes for.
_LOCK_FILE_WARNING = "Incomplete lock file information for providers"
# A part of a state is destroyed alone, and that is told by ourselves.
_TARGET_WARNINGS = ("Resource targeting is in effect", "Applied changes may be incomplete")
_PHASES = {"apply_start": "start", "apply_complete": "complete", "apply_errored": "errored"}
_DONE = {"create": "Created", "update": "Updated", "delete": "Deleted"}
_STARTED = {"create": "Started to create", "update": "Started to update", "delete": "Started to delete"}


class Listener(Protocol):
    """What a narrator speaks to: the recorder of an attempt."""

    def emit(self, type_: str, message: str, **data: Any) -> None:
        """Take an event."""

    def progress(self, step: str, *, done: int = 0, total: int | None = None) -> None:
        """Take the present progress."""


class Narrator:
    """Takes every event of one run of Terraform. What it hears is for people: it configures nothing.

    Attributes:
        progress: how far the run has come.
    """

    def __init__(
        self,
        recorder: Listener,
        title: str,
        on_progress: Callable[[Progress], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.progress = progress or Progress()
        self._recorder = recorder
        self._title = title
        self._on_progress = None if on_progress is None else Tolerant(on_progress, "progress")

    def take(self, event: TerraformEvent) -> None:
        """Journal one event; those that say nothing new to a reader are only counted."""
        self.progress.add(event)
        if self._on_progress is not None:
            self._on_progress(self.progress)
        if event.type in _PHASES:
            self._resource(event)
        elif event.type == "change_summary":
            self._summary(event)
        elif event.type == "diagnostic":
            self._diagnostic(event)

    def _resource(self, event: TerraformEvent) -> None:
        phase, action = _PHASES[event.type], event.action or "change"
        found = event.data.get("hook")
        hook = found if isinstance(found, dict) else {}
        if phase == "start":
            message = f"{_STARTED.get(action, 'Started on')} {event.address}."
        elif phase == "complete":
            message = f"{_DONE.get(action, 'Finished')} {event.address}."
        else:
            message = f"Failed to {action} {event.address}."
        data: dict[str, Any] = {
            "address": event.address,
            "action": action,
            "phase": phase,
            "done": self.progress.done,
            "total": self.progress.total,
        }
        # What the next attempt needs to find a resource that the state may not know.
        data |= {key: hook[key] for key in ("elapsed_seconds", "id_key", "id_value") if key in hook}
        self._recorder.emit("terraform.resource", message, **data)
        self._report()

    def _summary(self, event: TerraformEvent) -> None:
        changes = event.data.get("changes")
        if not isinstance(changes, dict) or changes.get("operation") != "plan":
            return
        counts = {key: changes.get(key, 0) for key in ("add", "change", "remove")}
        message = "Planned to add {add}, change {change} and remove {remove} resources.".format(**counts)
        self._recorder.emit("terraform.planned", message, total=self.progress.total, **counts)
        self._report()

    def _diagnostic(self, event: TerraformEvent) -> None:
        found = event.data.get("diagnostic")
        document = found if isinstance(found, dict) else {}
        if document.get("summary") in (_LOCK_FILE_WARNING, *_TARGET_WARNINGS):
            return
        data = {key: document[key] for key in ("severity", "summary", "detail", "address") if key in document}
        self._recorder.emit("terraform.diagnostic", event.message, **data)

    def _report(self) -> None:
        current = self.progress.current
        step = f"{self._title}: {current}" if current else self._title
        self._recorder.progress(step, done=self.progress.done, total=self.progress.total)
