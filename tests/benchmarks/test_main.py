"""The benchmark's command line, its table and its file."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.figures import Figure, Row
from benchmarks.processes import BenchmarkFailed

from benchmarks import __main__ as command

ROW = Row("time", Figure.median([1.0, 3.0], "s"), Figure.median([2.0, 2.0], "s"), aim=0.9)


def good(_report: Callable[[str], None], *, quick: bool) -> list[Row]:
    assert quick
    return [ROW]


def bad(_report: Callable[[str], None], *, quick: bool) -> list[Row]:
    raise BenchmarkFailed("it does not work")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Runs the command line with sections that measure nothing, in a directory of its own."""
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(command, "_SECTIONS", {"good": good, "bad": bad})
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "_RESULTS", tmp_path / "benchmarks" / "results")
    # The process's own environment must stay as it is for other tests.
    monkeypatch.setattr(command, "seal_environment", lambda: None)

    def main(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
        return command.main()

    return main


def written(directory: Path) -> dict[str, dict[str, dict[str, object]]]:
    (file,) = (directory / "benchmarks" / "results").iterdir()
    document: dict[str, dict[str, dict[str, object]]] = json.loads(file.read_text())
    return document


def test_a_missed_aim_is_no_failure(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--quick", "--only", "good") == 0
    shown = capsys.readouterr().out
    assert "2 s (1–3, n=2)" in shown
    assert "1x (0.5–1.5)" in shown
    assert "≤ 0.9x: missed" in shown
    assert written(tmp_path)["sections"]["good"]["rows"] == [ROW.document()]


def test_what_does_not_work_is_a_failure_and_stops_nothing_else(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--quick", "--only", "bad,good") == 1
    assert "bad failed: it does not work" in capsys.readouterr().err
    sections = written(tmp_path)["sections"]
    assert sections["bad"]["error"] == "it does not work"
    assert sections["good"]["rows"]


def test_an_unknown_section_is_refused(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("--only", "good,worse")
    assert "unknown section 'worse'; there are good, bad" in capsys.readouterr().err
