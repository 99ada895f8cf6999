"""The first release as a baseline: without the repository's history there is none, and that is told."""

from pathlib import Path

import pytest
from benchmarks.released import first_release


def test_without_history_there_is_no_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    told: list[str] = []
    assert first_release(told.append, tmp_path) is None
    assert [line.split(":")[0] for line in told] == ["0.1.0 cannot be had, so there is no baseline"]
