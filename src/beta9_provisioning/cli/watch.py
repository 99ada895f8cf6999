"""`env watch`: the events of an operation as a live screen, as plain lines, or as JSON lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from beta9_provisioning.cli.fitting import Fitted
from beta9_provisioning.cli.terminal import stderr, write_json
from beta9_provisioning.cli.tracker import Line, Tracker
from beta9_provisioning.cli.views import NO_WORKER, EventView, duration, error_text, lacks_worker
from beta9_provisioning.client import ClientError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from beta9_provisioning.client import Client
    from beta9_provisioning.schemas.environment import Environment, Event

_BAR_WIDTH = 40
_REFRESHES_PER_SECOND = 8
_LOOK_SECONDS = 2.0


class Display(Protocol):
    """Shows an operation's events while the block lasts."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen in order, whatever happened."""

    def event(self, event: Event) -> None:
        """Show one event."""

    def lacks_worker(self, lacking: bool) -> None:
        """Show that no worker is running, or no longer that; called by another thread."""

    def result(self, environment: Environment) -> None:
        """Show how the operation ended."""


def watch_operation(client: Client, environment: Environment, display: Display) -> Environment:
    """Show the events of the environment's latest operation until it ends; return the environment then.

    Operations that follow meanwhile (a delete after a create) are shown too, earlier ones are not.
    """
    try:
        with display, looking_for_workers(client, environment, display.lacks_worker):
            return _follow(client, environment, display)
    except KeyboardInterrupt:
        # After the display has left: it clears the part of the screen that it had.
        stderr().print(
            "Stopped watching; the operation goes on. See it again with: "
            f"beta9-provisioning env watch {environment.environment_id}",
            soft_wrap=True,
        )
        raise


def _follow(client: Client, environment: Environment, display: Display) -> Environment:
    begun = False
    for event in client.watch(environment.environment_id):
        begun = begun or event.operation_id == environment.operation.id
        if begun:
            display.event(event)
    final = client.get(environment.environment_id)
    display.result(final)
    return final


@contextmanager
def looking_for_workers(
    client: Client, environment: Environment, tell: Callable[[bool], None]
) -> Iterator[None]:
    """While the block lasts and the operation waits, call `tell` when workers prove absent, or come back."""
    if environment.operation.status != "queued":
        yield
        return
    ended = threading.Event()

    def look() -> None:
        told = False
        while not ended.wait(_LOOK_SECONDS):
            try:
                found = client.get(environment.environment_id)
            except (ClientError, RuntimeError):  # the latter when the block's end has closed the client
                continue  # who follows the events tells of it
            if ended.is_set():
                return
            lacking = lacks_worker(found, datetime.now(UTC))
            if lacking is not told:
                told = lacking
                tell(lacking)
            if found.operation.status != "queued":
                return

    thread = threading.Thread(target=look, name="looking-for-workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # It may be in the middle of a request: then it ends with the process, and tells nobody any more.
        thread.join(_LOOK_SECONDS)


def progress_on(console: Console, environment: Environment) -> Display:
    """Return a live display for a terminal, plain lines for anything else, such as a log."""
    return LiveProgress(console, environment) if console.is_terminal else PlainProgress(console, environment)


class JsonLines:
    """One event a line, as the API gives it."""

    def __enter__(self) -> Self:
        """Begin; there is nothing to set up."""
        return self

    def __exit__(self, *_: object) -> None:
        """End; there is nothing to clean up."""

    def event(self, event: Event) -> None:
        """Write the event."""
        write_json(EventView(event).json())

    def lacks_worker(self, lacking: bool) -> None:
        """Tell it beside the events."""
        tell_of_workers(stderr(), lacking)

    def result(self, environment: Environment) -> None:
        """Write nothing: the last events and the exit code say it."""


class PlainProgress:
    """One line for each thing that ended, with the time since the operation was asked for."""

    def __init__(self, console: Console, environment: Environment) -> None:
        """Take the place to write to, and the environment as it is now."""
        self._console = console
        self._environment = environment
        self._tracker = Tracker()

    def __enter__(self) -> Self:
        """Write what is watched."""
        self._console.print(_title(self._environment))
        return self

    def __exit__(self, *_: object) -> None:
        """End; there is nothing to clean up."""

    def event(self, event: Event) -> None:
        """Write the line that the event leaves."""
        line = self._tracker.apply(event)
        if line is not None:
            since = (event.at - self._environment.operation.created_at).total_seconds()
            self._console.print(f"{_clock(since)} {line.text.plain}", markup=False, soft_wrap=True)

    def lacks_worker(self, lacking: bool) -> None:
        """Write it as a line of its own."""
        tell_of_workers(self._console, lacking)

    def result(self, environment: Environment) -> None:
        """Write how it ended."""
        self._console.print(_ending(environment), soft_wrap=True)


class LiveProgress:
    """A screen for people: finished steps as lines, and below them a bar, the current step, the time."""

    def __init__(self, console: Console, environment: Environment) -> None:
        """Take the terminal, and the environment as it is now."""
        self._environment = environment
        self._tracker = Tracker()
        self._lacks_worker = False
        self._spinner = Spinner("dots" if console.encoding.startswith("utf") else "line", style="cyan")
        self._live = Live(
            console=console,
            get_renderable=self._screen,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        """Take over the lower part of the terminal."""
        self._live.console.print(_title(self._environment))
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back; the lines stay, the bar goes."""
        self._live.stop()

    def event(self, event: Event) -> None:
        """Add the line that the event leaves, unless the bar shows it."""
        line: Line | None = self._tracker.apply(event)
        if line is not None and not line.detail:
            self._live.console.print(line.text)

    def lacks_worker(self, lacking: bool) -> None:
        """Show it where the current step is."""
        self._lacks_worker = lacking

    def result(self, environment: Environment) -> None:
        """Replace the bar by how it ended."""
        self._live.stop()
        self._live.console.print(_ending(environment), soft_wrap=True)

    def _screen(self) -> RenderableType:
        tracker = self._tracker
        since = (datetime.now(UTC) - self._environment.operation.created_at).total_seconds()
        row = Table.grid(padding=(0, 1))
        row.add_row(
            "  ",
            ProgressBar(
                total=tracker.total or 1, completed=tracker.done, width=_BAR_WIDTH, pulse=not tracker.total
            ),
            Text(f"{tracker.done}/{tracker.total} resources" if tracker.total else ""),
            Text(_clock(since), style="cyan"),
        )
        self._spinner.update(text=Text(tracker.activity(), no_wrap=True, overflow="ellipsis"))
        activity = Table.grid(padding=(0, 1))
        activity.add_row(" ", self._spinner)
        parts: list[RenderableType] = [row, activity]
        if self._lacks_worker and not tracker.steps:
            parts.append(Padding(Text(NO_WORKER, style="yellow"), (0, 0, 0, 2)))
        return Fitted(Group(*parts))


def tell_of_workers(console: Console, lacking: bool) -> None:
    """Write that no worker is running, or that one is again."""
    console.print(NO_WORKER if lacking else "A worker is running again.", soft_wrap=True)


def _title(environment: Environment) -> Text:
    operation = environment.operation
    title = Text(environment.name, style="bold")
    title.append(f"  {environment.environment_id}  {operation.kind} in {environment.region}", style="dim")
    return title


def _ending(environment: Environment) -> Text:
    operation = environment.operation
    end = operation.finished_at or datetime.now(UTC)
    took = duration((end - operation.created_at).total_seconds())
    good = environment.error is None and operation.status == "succeeded"
    text = Text("✓ " if good else "✗ ", style="bold green" if good else "bold red")
    text.append(f"{environment.name} is {environment.status}", style="bold")
    text.append(f" after {took}")
    if environment.error is not None:
        text.append_text(error_text(environment.error))
    return text


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60:02d}:{whole % 60:02d}"
