"""Earlier releases out of the history: whole or not at all, once for all who ask, with their own code."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scripts.packages import ROOT
from scripts.releases import NoHistory, Program, Release, prepare

_PACKAGE = "src/beta9_provisioning/__init__.py"


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository whose releases are locked to what we are locked to."""
    root = tmp_path / "checkout"
    (root / _PACKAGE).parent.mkdir(parents=True)
    (root / _PACKAGE).write_text("WORD = 'released'\n")
    shutil.copy(ROOT / "requirements.txt", root)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "A release")
    return root


@pytest.fixture
def release(checkout: Path) -> Release:
    return Release("a release", git(checkout, "rev-parse", "HEAD"))


def word(program: Program) -> str:
    code = "import beta9_provisioning; print(beta9_provisioning.WORD)"
    done = subprocess.run(
        [program.python, "-c", code],
        env={"PYTHONPATH": str(program.source)},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_a_release_runs_its_own_code_whatever_is_installed(checkout: Path, release: Release) -> None:
    (checkout / _PACKAGE).write_text("WORD = 'ours'\n")
    assert word(prepare(release, root=checkout)) == "released"


def test_any_number_may_ask_at_once(checkout: Path, release: Release) -> None:
    with ThreadPoolExecutor(8) as pool:
        programs = set(pool.map(lambda _: prepare(release, root=checkout), range(8)))
    assert [word(program) for program in programs] == ["released"]


def test_what_a_killed_process_left_is_no_release(checkout: Path, release: Release) -> None:
    source = prepare(release, root=checkout).source
    left = source.parent.with_suffix(".new")
    source.parent.rename(left)
    (left / _PACKAGE).unlink()
    assert word(prepare(release, root=checkout)) == "released"
    assert not left.exists()


def test_a_shallow_clone_has_no_history(checkout: Path, release: Release, tmp_path: Path) -> None:
    git(checkout, "commit", "--quiet", "--allow-empty", "-m", "Later")
    git(tmp_path, "clone", "--quiet", "--depth", "1", checkout.as_uri(), "shallow")
    with pytest.raises(NoHistory, match=r"not in this copy of the history: fatal: .*fetch --unshallow"):
        prepare(release, root=tmp_path / "shallow")


def test_nor_has_a_copy_without_repository(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    copy = tmp_path / "copy"
    copy.mkdir()
    with pytest.raises(NoHistory, match="not a git repository"):
        prepare(release, root=copy)


def test_without_git_there_is_no_history_either(
    checkout: Path, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoHistory, match="No such file or directory: 'git'"):
        prepare(release, root=checkout)
