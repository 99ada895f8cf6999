"""The first release as a baseline: without the repository's history there is none, and that is told."""

from pathlib import Path

import pytest

from benchmarks import released


def test_without_history_there_is_no_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(released, "ROOT", tmp_path)
    monkeypatch.setattr(released, "_HOME", tmp_path / "home")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    told: list[str] = []
    assert released.first_release(told.append) is None
    assert [line.split(":")[0] for line in told] == ["0.1.0 cannot be had, so there is no baseline"]
    assert not (tmp_path / "home" / "complete").exists()
