"""What the journal tells of Terraform's own words."""

import json
from typing import Any

import pytest

from beta9_provisioning.engine.terraform.events import parse
from beta9_provisioning.operations.run.narration import Narrator


class Heard:
    """Takes what a recorder takes."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.last: tuple[str, int, int | None] | None = None

    def emit(self, type_: str, message: str, **data: Any) -> None:
        self.events.append((type_, message, data))

    def progress(self, step: str, *, done: int = 0, total: int | None = None) -> None:
        self.last = (step, done, total)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def narrator(heard: Heard) -> Narrator:
    return Narrator(heard, "Creating infrastructure")


def say(narrator: Narrator, **document: Any) -> None:
    """Let Terraform print one line."""
    event = parse(json.dumps(document))
    assert event is not None
    narrator.take(event)


def hook(address: str, action: str = "create", **more: Any) -> dict[str, Any]:
    return {"resource": {"addr": address}, "action": action, **more}


def test_a_run_is_told_with_progress(narrator: Narrator, heard: Heard) -> None:
    say(narrator, type="change_summary", changes={"add": 2, "change": 0, "remove": 0, "operation": "plan"})
    say(narrator, type="apply_start", hook=hook("aws_vpc.main"))
    assert heard.last == ("Creating infrastructure: aws_vpc.main", 0, 2)
    say(
        narrator,
        type="apply_complete",
        hook=hook("aws_vpc.main", id_key="id", id_value="vpc-1", elapsed_seconds=3),
    )
    assert heard.last == ("Creating infrastructure", 1, 2)
    say(narrator, type="apply_errored", hook=hook("aws_eip.nat"))
    assert [(type_, message) for type_, message, _ in heard.events] == [
        ("terraform.planned", "Planned to add 2, change 0 and remove 0 resources."),
        ("terraform.resource", "Started to create aws_vpc.main."),
        ("terraform.resource", "Created aws_vpc.main."),
        ("terraform.resource", "Failed to create aws_eip.nat."),
    ]
    complete = heard.events[2][2]
    assert complete == {
        "address": "aws_vpc.main",
        "action": "create",
        "phase": "complete",
        "done": 1,
        "total": 2,
        "elapsed_seconds": 3,
        "id_key": "id",
        "id_value": "vpc-1",
    }


def test_diagnostics_are_told_but_not_the_one_of_every_mirror(narrator: Narrator, heard: Heard) -> None:
    common = {"severity": "warning", "detail": ""}
    lock_file = "Incomplete lock file information for providers"
    for summary in (lock_file, "Something is deprecated"):
        document = {**common, "summary": summary}
        say(narrator, **{"type": "diagnostic", "@message": f"Warning: {summary}", "diagnostic": document})
    assert [message for _, message, _ in heard.events] == ["Warning: Something is deprecated"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": "something_new", "hook": {"resource": None}},
        {"type": "change_summary", "changes": None},
        {"type": "change_summary", "changes": {"operation": "destroy", "remove": 3}},
        {"type": "outputs", "outputs": []},
        {"type": "apply_start", "hook": None},
        {"type": "apply_complete", "hook": []},
        {"type": "diagnostic", "diagnostic": "odd"},
    ],
)
def test_odd_documents_break_nothing(narrator: Narrator, document: dict[str, Any]) -> None:
    say(narrator, **document)
    assert narrator.progress.done == 0
