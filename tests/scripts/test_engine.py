"""The engine of `make test-containers`, where none can be had: it says so, and that is no failure."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.installation.installations import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts in a folder of their own, so that no engine of this checkout is stopped."""
    (tmp_path / "scripts").mkdir()
    for name in ("engine.sh", "test_containers.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    return tmp_path


def _run(checkout: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script as somebody who is not root, as far as `id` tells."""
    programs = checkout / "programs"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "id").chmod(0o755)
    return subprocess.run(
        [str(checkout / "scripts" / script), *arguments],
        env={"PATH": f"{programs}:{os.defpath}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_root_there_is_no_engine(checkout: Path) -> None:
    done = _run(checkout, "engine.sh", "start")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "There is no container engine: starting one needs root.\n"
    assert not (checkout / ".tools").exists()


def test_without_an_engine_the_tests_are_not_run_and_that_is_said(checkout: Path) -> None:
    done = _run(checkout, "test_containers.sh")
    assert (done.returncode, done.stdout) == (0, "")
    assert "starting one needs root" in done.stderr
    assert "the tests in tests/containers were NOT run" in done.stderr


def test_an_unknown_command_tells_the_known_ones(checkout: Path) -> None:
    done = _run(checkout, "engine.sh", "restart")
    assert done.returncode == 2
    for name in ("start", "run COMMAND", "stop"):
        assert f"scripts/engine.sh {name}" in done.stderr


def test_a_build_without_an_engine_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "build_images.sh")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/nothing"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "reaches no engine. Start one, or name it: DOCKER_HOST." in done.stderr


def test_tests_that_need_debians_packages_are_run_only_when_named() -> None:
    theirs = {"containers", "monitoring"}
    # To collect all the others, too, would take half a minute and show no more.
    others = [f"--ignore={path}" for path in (ROOT / "tests").iterdir() if path.name not in theirs]
    command = ["-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", *others]
    python = str(ROOT / ".venv" / "bin" / "python")
    nothing = pytest.ExitCode.NO_TESTS_COLLECTED
    for named, code, expected in [
        ([], nothing, set[str]()),
        (["tests/containers"], pytest.ExitCode.OK, {"containers"}),
        (["tests/monitoring"], pytest.ExitCode.OK, {"monitoring"}),
    ]:
        done = subprocess.run(
            [python, *command, *named], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == code, done.stdout
        assert {one for one in theirs if f"tests/{one}/" in done.stdout} == expected
