"""Coverage of a change, in a small repository with a virtual environment of its own."""

import json
import os
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD = "".join(f"NUMBER_{number} = {number}\n" for number in range(40))
# From line 42 on: a comment is put before it all.
ADDED = """
import os, signal, sys

def leave():
    if NUMBER_0:
        print("never")
    os._exit(3)

def become():
    os.execv(sys.executable, [sys.executable, "-c", "from sample import new; new.terminate()"])

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
    print("never")
"""
# The process of the tests does not import what is measured: all that is covered, children ran.
TESTS = """
import subprocess, sys

def code_of(name):
    command = [sys.executable, "-c", f"from sample import new; new.{name}()"]
    return subprocess.run(command, env={}).returncode

def test_ends():
    assert [code_of("leave"), code_of("become")] == [3, -15]

def test_fails():
    assert code_of("leave") == 4
"""
REPORT = """
What changed since start:
  sample/new.py
    covered: 43, 45-46, 48, 50-51, 53-54
    covered, but not in every branch: 46
    not covered: 47, 55
  8 of 10 lines are covered: 80%
"""


class Repository:
    """Since `start`, a file was renamed and extended, which is committed, and edited, which is not."""

    def __init__(self, root: Path) -> None:
        self.root, self.python = root / "repository", root / "venv" / "bin" / "python"
        venv.create(root / "venv", symlinks=True)
        packages = sysconfig.get_path("purelib", vars={"base": str(root / "venv")})
        Path(packages, "borrowed.pth").write_text(sysconfig.get_path("purelib"))
        run = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
        run["source_pkgs"] = ["sample"]
        settings = [f"{name} = {json.dumps(value)}\n" for name, value in run.items()]
        package = self.root / "sample"
        package.mkdir(parents=True)
        (self.root / "pyproject.toml").write_text("[tool.coverage.run]\n" + "".join(settings))
        (self.root / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n")
        (self.root / "test_sample.py").write_text(TESTS)
        (package / "__init__.py").touch()
        (package / "old.py").write_text(OLD)
        self.git("init", "--quiet")
        self.commit()
        self.git("tag", "start")
        self.git("mv", "sample/old.py", "sample/new.py")
        (package / "new.py").write_text(OLD + ADDED)
        self.commit()
        (package / "new.py").write_text("# A comment.\n" + OLD + ADDED)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        command, environment = ["git", *identity, *arguments], {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            command, cwd=self.root, env=environment, check=True, capture_output=True, text=True
        ).stdout

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "A change")

    def measure(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script, and look whether it left anything behind."""
        before = self.traces()
        command = [str(self.python), str(ROOT / "scripts" / "change_coverage.py"), *arguments]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTEST_XDIST_AUTO_NUM_WORKERS": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # all the others would double the time
            "PYTEST_PLUGINS": "xdist.plugin",
        }
        done = subprocess.run(
            command, cwd=self.root, env=environment, check=False, capture_output=True, text=True
        )
        assert self.traces() == before
        return done

    def traces(self) -> tuple[str, list[Path]]:
        return self.git("status", "--porcelain"), sorted(self.python.parents[1].rglob("*.pth"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_lines_that_only_children_ran_are_covered(repository: Repository) -> None:
    done = repository.measure("start", "test_sample.py::test_ends")
    assert REPORT in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_the_exit_code_is_that_of_the_tests(repository: Repository) -> None:
    done = repository.measure("start")
    assert REPORT in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1


def test_no_change_is_said(repository: Repository) -> None:
    repository.git("checkout", "--quiet", ".")
    done = repository.measure("HEAD")
    assert (done.returncode, done.stdout) == (0, "No measured file has changed since HEAD.\n"), done.stderr


def test_an_unknown_base_is_refused(repository: Repository) -> None:
    done = repository.measure("nowhere")
    assert done.returncode == 1
    assert done.stderr == "coverage: BASE=nowhere names no commit that shares history with HEAD.\n"
    assert not done.stdout
