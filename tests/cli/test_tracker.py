"""What the events of an operation leave on the screen."""

import io
from typing import Any

import pytest
from rich.console import Console
from tests.client import fake_api

from beta9_provisioning.cli.tracker import Tracker
from beta9_provisioning.cli.watch import LiveProgress, PlainProgress, progress_on
from beta9_provisioning.schemas.environment import Environment, Event


def _event(type: str, message: str = "Something happened.", **data: Any) -> Event:
    return Event.model_validate(fake_api.event(1, type, message, **data))


def _resource(address: str, phase: str, **data: Any) -> Event:
    return _event("terraform.resource", "A message.", address=address, action="create", phase=phase, **data)


def test_steps_that_overlap_are_both_current() -> None:
    tracker = Tracker()
    tracker.apply(_event("step.started", step="apply", title="Creating infrastructure"))
    tracker.apply(_event("step.started", step="base", title="Installing base charts"))
    assert tracker.activity() == "Creating infrastructure and Installing base charts"
    tracker.apply(_event("step.finished", step="apply", title="Creating infrastructure", seconds=12.4))
    assert tracker.activity() == "Installing base charts"


def test_a_finished_step_leaves_its_time() -> None:
    line = Tracker().apply(_event("step.finished", step="a", title="Preparing", seconds=0.312))
    assert line is not None
    assert line.text.plain == "  ✓ Preparing  0.3 s"
    assert not line.detail


def test_a_failed_step_says_why() -> None:
    line = Tracker().apply(_event("step.failed", "AWS refused.", step="a", title="Preparing"))
    assert line is not None
    assert line.text.plain == "  ✗ Preparing: AWS refused."


def test_resources_are_counted_and_shown_while_they_are_made() -> None:
    tracker = Tracker()
    tracker.apply(_event("terraform.planned", total=48, add=48, change=0, remove=0))
    assert (tracker.done, tracker.total) == (0, 48)
    assert tracker.apply(_resource("aws_vpc.main", "start", done=0, total=48)) is None
    tracker.apply(_resource("aws_eip.nat", "start", done=0, total=48))
    assert tracker.activity().endswith("creating aws_vpc.main and 1 more")
    line = tracker.apply(_resource("aws_vpc.main", "complete", done=1, total=48, elapsed_seconds=3))
    assert line is not None
    assert line.text.plain == "    [1/48] aws_vpc.main created  3 s"
    assert line.detail
    assert tracker.done == 1
    assert tracker.activity().endswith("creating aws_eip.nat")


def test_a_resource_that_failed_is_always_shown() -> None:
    line = Tracker().apply(_resource("aws_vpc.main", "errored", done=0, total=1))
    assert line is not None
    assert not line.detail


def test_a_new_operation_begins_at_nothing() -> None:
    tracker = Tracker()
    tracker.apply(_event("terraform.planned", total=48))
    tracker.apply(_event("step.started", step="a", title="Creating"))
    tracker.apply(_resource("aws_vpc.main", "complete", done=1, total=48))
    tracker.apply(_event("operation.queued", "A destroy was requested.", kind="destroy"))
    assert (tracker.done, tracker.total, tracker.activity()) == (0, None, "Waiting for a worker")


@pytest.mark.parametrize(
    "data", [{}, {"address": None}, {"done": "x", "total": []}, {"step": 3, "title": None, "seconds": "x"}]
)
@pytest.mark.parametrize(
    "type", ["terraform.resource", "terraform.planned", "helm.release", "step.finished", "environment.status"]
)
def test_data_of_another_shape_does_no_harm(type: str, data: dict[str, Any]) -> None:
    tracker = Tracker()
    tracker.apply(_event(type, **data))
    assert isinstance(tracker.activity(), str)


def test_unknown_events_show_their_message() -> None:
    line = Tracker().apply(_event("moon.risen", "The moon rose."))
    assert line is not None
    assert line.text.plain == "  The moon rose."


def _environment(**changes: Any) -> Environment:
    return Environment.model_validate(fake_api.environment(**changes))


def _console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_gets_the_live_display_and_a_file_gets_lines() -> None:
    assert isinstance(progress_on(_console(terminal=True), _environment()), LiveProgress)
    assert isinstance(progress_on(_console(terminal=False), _environment()), PlainProgress)


def test_plain_lines_hold_no_escapes_and_every_resource() -> None:
    console = _console(terminal=False)
    with PlainProgress(console, _environment()) as display:
        display.event(_event("step.started", step="a", title="Creating [bold]it[/bold]"))
        display.event(_resource("aws_vpc.main", "complete", done=1, total=2))
        display.result(_environment(status="ready", operation=fake_api.FINISHED))
    text = _text(console)
    assert "\x1b" not in text
    assert "00:05   … Creating [bold]it[/bold]\n" in text
    assert "00:05     [1/2] aws_vpc.main created\n" in text
    assert "✓ demo is ready after 34 s" in text


def test_the_live_display_shows_bar_step_and_time() -> None:
    console = _console(terminal=True)
    with LiveProgress(console, _environment()) as display:
        display.event(_event("step.started", step="a", title="Creating infrastructure"))
        display.event(_event("terraform.planned", "Planned.", total=48))
        display.event(_resource("aws_vpc.main", "start", done=12, total=48))
        console.print(display._screen())
    text = _text(console)
    assert "12/48 resources" in text
    assert "━" in text
    assert "Creating infrastructure: creating aws_vpc.main" in text


def test_an_error_is_shown_with_its_remedy() -> None:
    console = _console(terminal=False)
    error = {
        "code": "quota",
        "message": "The quota is used up.",
        "detail": "5 of 5",
        "remedy": "Ask for more.",
    }
    with PlainProgress(console, _environment()) as display:
        display.result(_environment(status="failed", operation=fake_api.FAILED, error=error))
    text = _text(console)
    assert "✗ demo is failed after 34 s" in text
    assert "Ask for more." in text
