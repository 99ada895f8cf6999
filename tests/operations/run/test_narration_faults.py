"""Terraform goes on whatever becomes of the story about it."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.operations.run.narration import Narrator

FAKES = Path(__file__).parents[2] / "engine" / "terraform" / "fakes"


class Recorder:
    """Takes what is told; told a word that it cannot bear, it raises."""

    def __init__(self, unbearable: str = "") -> None:
        self.told: list[str] = []
        self._unbearable = unbearable

    def emit(self, type_: str, message: str, **data: Any) -> None:
        self.told.append(message)
        if self._unbearable and self._unbearable in message:
            raise MemoryError(message)

    def progress(self, step: str, *, done: int = 0, total: int | None = None) -> None:
        """Take progress."""


def hook(address: str) -> dict[str, Any]:
    return {"resource": {"addr": address}, "action": "create"}


def apply(
    directory: Path,
    recorder: Recorder,
    *lines: dict[str, Any],
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    """Let a Terraform that prints these lines apply to its end."""
    narrator = Narrator(recorder, "Creating", on_progress)
    Terraform(
        binary=FAKES / "terraform",
        directory=directory,
        env={"PATH": os.environ["PATH"], "FAKE": "lines", "FAKE_LINES": "\n".join(map(json.dumps, lines))},
        stop=threading.Event(),
        on_event=narrator.take,
    ).apply(GUARD_SECONDS)
    assert (directory / "ended").exists()


def test_a_hook_that_is_null_does_not_interrupt_terraform(tmp_path: Path) -> None:
    recorder = Recorder()
    apply(
        tmp_path,
        recorder,
        {"type": "apply_start", "hook": None},
        {"type": "apply_complete", "hook": hook("aws_vpc.main")},
    )
    assert recorder.told[-1] == "Created aws_vpc.main."


def test_a_journal_that_cannot_take_an_event_takes_the_next_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(unbearable="Started")
    names = ["aws_vpc.main", "aws_eip.nat"]
    apply(
        tmp_path,
        recorder,
        *({"type": "apply_start", "hook": hook(name)} for name in names),
        *({"type": "apply_complete", "hook": hook(name)} for name in names),
    )
    assert recorder.told[2:] == ["Created aws_vpc.main.", "Created aws_eip.nat."]
    assert caplog.text.count("observer_failed") == 1


def test_base_charts_that_cannot_be_started_silence_nothing(tmp_path: Path) -> None:
    def refuse(_: Progress) -> None:
        raise RuntimeError("can't start new thread")

    recorder = Recorder()
    lines = [{"type": "apply_start", "hook": hook("aws_vpc.main")}]
    apply(tmp_path, recorder, *lines, on_progress=refuse)
    assert recorder.told == ["Started to create aws_vpc.main."]
