"""Views of environments: one class for each, with a rendering for people and one for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from beta9_provisioning.schemas.environment import (
        Environment,
        EnvironmentSummary,
        Event,
        OperationError,
    )

_LONGEST_VALUE = 120
_EXCERPT = 40
_GAP = 2
_SHORTEST_NAME = 8
# In the order in which a narrow terminal does without them.
_LEFT_OUT = ("CLOUD", "REGION", "AGE")
NO_WORKER = (
    "No worker is running, so nothing begins. Start one (`make run-worker`), or ask who runs the service."
)
# A worker that is started again, or a database that has failed over, is away so long.
_NO_WORKER_SECONDS = 5.0
_STYLES = {"ready": "green", "failed": "red", "destroyed": "dim"}


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=_STYLES.get(status, "yellow"))


def duration(seconds: float) -> str:
    """Return seconds as people say them: `0.4 s`, `12 s`, `3 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def age(moment: datetime) -> str:
    """Return how long ago something was, coarsely: `5 min`, `3 h`, `12 d`."""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def lacks_worker(environment: Environment, now: datetime) -> bool:
    """Return whether the latest operation has waited for some seconds, and no worker lives to take it."""
    operation = environment.operation
    waited = abs((now - operation.created_at).total_seconds())  # clocks differ
    return operation.status == "queued" and environment.live_workers == 0 and waited >= _NO_WORKER_SECONDS


def value_text(value: Any) -> str:
    """Return an output's value on one line; strings without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class EnvironmentView:
    """One environment."""

    environment: Environment

    def rich(self) -> RenderableType:
        """Return a sheet of its properties, with outputs and the error if there are any."""
        environment, operation = self.environment, self.environment.operation
        where = [environment.provider, environment.region, environment.account_id or ""]
        reason = f" ({operation.reason})" if operation.reason else ""
        rows: list[tuple[str, str | Text]] = [
            ("ID", environment.environment_id),
            ("Name", environment.name),
            ("Status", status_text(environment.status)),
            ("Cloud", " ".join(part for part in where if part)),
            ("Created", f"{environment.created_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Operation", f"{operation.kind} {operation.status}{reason}, attempt {operation.attempt}"),
        ]
        if environment.progress is not None:
            progress = environment.progress
            count = f", {progress.done} of {progress.total} resources" if progress.total else ""
            rows.append(("Progress", f"{progress.step}{count}"))
        if environment.deletion_protection:
            rows.append(("Protection", "deletion is refused"))
        parts: list[RenderableType] = [sheet(rows)]
        if lacks_worker(environment, datetime.now(UTC)):
            parts.append(Text(f"\n{NO_WORKER}", style="yellow"))
        if environment.error is not None:
            parts.append(error_text(environment.error))
        if environment.outputs:
            parts += [Text("\nOutputs", style="bold"), OutputsView(environment.outputs).rich()]
        return Group(*parts)

    def ids(self) -> Sequence[str]:
        """Return its ID."""
        return [self.environment.environment_id]

    def json(self) -> object:
        """Return the environment as the API gives it."""
        return self.environment.model_dump(mode="json")


@dataclass(frozen=True)
class EnvironmentListView:
    """Several environments."""

    environments: Sequence[EnvironmentSummary]

    def rich(self) -> RenderableType:
        """Return a table, newest first, that fits into what width there is."""
        if not self.environments:
            return Text("No environments.", style="dim")
        return _Listing(self.environments)

    def ids(self) -> Sequence[str]:
        """Return their IDs."""
        return [item.environment_id for item in self.environments]

    def json(self) -> object:
        """Return a list of summaries as the API gives them."""
        return [item.model_dump(mode="json") for item in self.environments]


class _Listing:
    """The table of a list. Where it is narrow, names are cut and less important columns left out."""

    def __init__(self, environments: Sequence[EnvironmentSummary]) -> None:
        self._environments = environments

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        items = self._environments
        columns = {
            "ID": [Text(item.environment_id) for item in items],
            "NAME": [Text(item.name) for item in items],
            "STATUS": [status_text(item.status) for item in items],
            "CLOUD": [Text(item.provider) for item in items],
            "REGION": [Text(item.region) for item in items],
            "AGE": [Text(age(item.created_at)) for item in items],
        }
        widths = {title: max(len(title), *map(len, cells)) for title, cells in columns.items()}
        for left_out in (None, *_LEFT_OUT):
            columns.pop(left_out or "", None)
            others = sum(widths[title] for title in columns if title != "NAME")
            room = options.max_width - others - _GAP * (len(columns) - 1)
            if room >= min(widths["NAME"], _SHORTEST_NAME):
                break
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for title in columns:
            width = min(widths[title], max(room, 1)) if title == "NAME" else widths[title]
            table.add_column(title, width=width, no_wrap=True, overflow="ellipsis")
        for cells in zip(*columns.values(), strict=True):
            table.add_row(*cells)
        yield table


@dataclass(frozen=True)
class EventView:
    """One event of an environment's history, on one line."""

    event: Event

    def rich(self) -> RenderableType:
        """Return number, time (UTC), type and message."""
        event = self.event
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{event.id:>5}  {event.at.astimezone(UTC):%H:%M:%S}  ", style="dim")
        line.append(f"{event.type:<22} ", style="cyan")
        line.append(event.message)
        return line

    def json(self) -> object:
        """Return the event as the API gives it."""
        return self.event.model_dump(mode="json")


@dataclass(frozen=True)
class EventsView:
    """A stretch of an environment's history."""

    events: Sequence[Event]

    def rich(self) -> RenderableType:
        """Return one line an event, oldest first."""
        if not self.events:
            return Text("No events.", style="dim")
        return Group(*(EventView(event).rich() for event in self.events))

    def json(self) -> object:
        """Return a list of events as the API gives them."""
        return [EventView(event).json() for event in self.events]


@dataclass(frozen=True)
class OutputsView:
    """What an environment's creation resulted in."""

    outputs: Mapping[str, Any]

    def rich(self) -> RenderableType:
        """Return names and values; very long ones are cut."""
        return sheet([(name, _shortened(value_text(value))) for name, value in sorted(self.outputs.items())])

    def json(self) -> object:
        """Return the outputs as an object."""
        return dict(self.outputs)


def error_text(error: OperationError) -> Text:
    """Return what happened, why, and what to do."""
    text = Text(f"\n{error.message}", style="red")
    text.append(f" ({error.code})", style="dim")
    for part in (error.detail, error.remedy):
        if part:
            text.append(f"\n{part}", style="default")
    return text


def sheet(rows: Sequence[tuple[str, str | Text]]) -> Table:
    """Return a table of properties. Text is taken as it is: a server's words are no markup."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value) if isinstance(value, str) else value)
    return table


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_EXCERPT]}… ({len(text)} characters; ask for it by name)"
