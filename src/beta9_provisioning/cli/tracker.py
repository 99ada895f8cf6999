"""What an operation is doing now, followed from its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from beta9_provisioning.cli.views import duration, status_text

if TYPE_CHECKING:
    from beta9_provisioning.schemas.environment import Event

_PAST = {"create": "created", "update": "updated", "delete": "deleted"}
_PRESENT = {"create": "creating", "update": "updating", "delete": "deleting"}


@dataclass(frozen=True)
class Line:
    """One line of the record that stays on the screen."""

    text: Text
    detail: bool = False
    """Only for logs: on a terminal the progress bar shows it."""


@dataclass
class Tracker:
    """The state of the latest operation, as far as its events tell it.

    Attributes:
        steps: titles of the running steps by name; steps may overlap.
        done: resources finished.
        total: resources in all; None until the plan is known.
        in_flight: what happens to which resource or release now, in the order of its beginning.
    """

    steps: dict[str, str] = field(default_factory=dict)
    done: int = 0
    total: int | None = None
    in_flight: dict[str, str] = field(default_factory=dict)

    def apply(self, event: Event) -> Line | None:
        """Take note of an event; return the line it leaves, if any. Unknown types show their message."""
        handlers: dict[str, Callable[[Event], Line | None]] = {
            "environment.status": self._status,
            "operation.queued": self._operation_queued,
            "operation.interrupted": self._interrupted,
            "step.started": self._step_started,
            "step.finished": self._step_finished,
            "step.failed": self._step_failed,
            "step.interrupted": self._step_interrupted,
            "terraform.planned": self._planned,
            "terraform.resource": self._resource,
            "terraform.diagnostic": self._diagnostic,
            "helm.release": self._release,
        }
        handler = handlers.get(event.type)
        return handler(event) if handler else Line(Text(f"  {event.message}", style="dim"))

    def activity(self) -> str:
        """Return what is going on, in a few words."""
        titles = " and ".join(list(self.steps.values())) or "Waiting for a worker"
        flying = list(self.in_flight.items())
        if not flying:
            return titles
        address, doing = flying[0]
        more = f" and {len(flying) - 1} more" if len(flying) > 1 else ""
        return f"{titles}: {doing} {address}{more}"

    def _status(self, event: Event) -> Line:
        text = Text("● ", style="bold")
        text.append_text(status_text(str(event.data.get("to", event.message))))
        return Line(text)

    def _operation_queued(self, event: Event) -> Line:
        """A new operation replaces what an earlier one was doing."""
        self.steps.clear()
        self.in_flight.clear()
        self.done, self.total = 0, None
        return Line(Text(f"  {event.message}", style="dim"))

    def _interrupted(self, event: Event) -> Line:
        """Another attempt begins with the first step."""
        self.steps.clear()
        self.in_flight.clear()
        return Line(Text(f"  ! {event.message}", style="yellow"))

    def _step_interrupted(self, event: Event) -> None:
        """Leave the telling to the end of the attempt."""

    def _step_started(self, event: Event) -> Line:
        title = str(event.data.get("title", event.message))
        self.steps[str(event.data.get("step"))] = title
        return Line(Text(f"  … {title}"), detail=True)

    def _step_finished(self, event: Event) -> Line:
        return self._step_over(event, Text("  ✓ ", style="green"), "")

    def _step_failed(self, event: Event) -> Line:
        self.in_flight.clear()
        return self._step_over(event, Text("  ✗ ", style="red"), f": {event.message}")

    def _step_over(self, event: Event, mark: Text, remark: str) -> Line:
        title = self.steps.pop(str(event.data.get("step")), str(event.data.get("title", event.message)))
        mark.append(title + remark, style="default")
        seconds = event.data.get("seconds")
        if isinstance(seconds, int | float):
            mark.append(f"  {duration(seconds)}", style="dim")
        return Line(mark)

    def _planned(self, event: Event) -> Line:
        total = event.data.get("total")
        self.total = total if isinstance(total, int) else None
        self.done = 0
        return Line(Text(f"  {event.message}", style="dim"))

    def _resource(self, event: Event) -> Line | None:
        data = event.data
        address, action = str(data.get("address")), str(data.get("action"))
        if isinstance(data.get("done"), int):
            self.done = data["done"]
        if isinstance(data.get("total"), int):
            self.total = data["total"]
        if data.get("phase") == "start":
            self.in_flight[address] = _PRESENT.get(action, action)
            return None
        self.in_flight.pop(address, None)
        if data.get("phase") == "errored":
            return Line(Text(f"  ✗ {event.message}", style="red"))
        count = f"{self.done}/{self.total}" if self.total else str(self.done)
        seconds = data.get("elapsed_seconds")
        # Terraform counts whole seconds: a 0 says nothing.
        took = f"  {seconds:.0f} s" if isinstance(seconds, int | float) and seconds else ""
        return Line(Text(f"    [{count}] {address} {_PAST.get(action, action)}{took}"), detail=True)

    def _release(self, event: Event) -> Line:
        release, phase = str(event.data.get("release")), event.data.get("phase")
        if phase == "start":
            self.in_flight[release] = "installing"
            return Line(Text(f"    {event.message}"), detail=True)
        self.in_flight.pop(release, None)
        return Line(Text(f"    {event.message}", style="red" if phase == "errored" else ""))

    def _diagnostic(self, event: Event) -> Line:
        style = "red" if event.data.get("severity") == "error" else "yellow"
        return Line(Text(f"    {event.message}", style=style))
