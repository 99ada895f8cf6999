"""Every mutant still fits the source; what must notice them is run by `make mutants`."""

import compileall
from pathlib import Path

import pytest
from tests.mutants.__main__ import Mutant, Useless, broken, mutants

ALL = mutants()


@pytest.mark.parametrize("mutant", ALL, ids=[mutant.name for mutant in ALL])
def test_a_mutant_fits_the_source_and_is_to_be_noticed(mutant: Mutant, tmp_path: Path) -> None:
    source, mark = broken(mutant, tmp_path)
    for line in mutant.patch.read_text().splitlines():
        if line.startswith("+++ b/src/"):
            assert compileall.compile_file(str(tmp_path / line[6:].strip()), quiet=1)
    assert source.is_dir()
    assert not mark.exists()
    assert mutant.cases or mutant.tests or mutant.simulation
    assert bool(mutant.cases) == bool(mutant.invariant)


def test_there_are_at_least_twelve() -> None:
    assert len(ALL) >= 12


def test_a_patch_that_fits_no_more_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone.patch"
    gone.write_text(
        "--- a/src/beta9_provisioning/lifecycle.py\n+++ b/src/beta9_provisioning/lifecycle.py\n"
        "@@ -1,1 +1,1 @@\n-what was never there\n+_mutant.executed()\n"
    )
    monkeypatch.setattr("tests.mutants.__main__.HERE", tmp_path)
    with pytest.raises(Useless, match="fits the source no more"):
        broken(Mutant("gone", "nothing"), tmp_path / "copy")


def test_a_patch_that_leaves_no_mark_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "silent.patch").write_text("--- a/src/x\n+++ b/src/x\n@@ -1 +1 @@\n-a\n+b\n")
    monkeypatch.setattr("tests.mutants.__main__.HERE", tmp_path)
    with pytest.raises(Useless, match="none of its lines calls"):
        broken(Mutant("silent", "nothing"), tmp_path / "copy")
