"""Environments into which the product is installed as its users install it, next to nothing else.

They share uv's cache by links, and all xdist workers of a run share them: whoever needs one first makes it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from scripts.packages import run_uv
from tests.support.sealing import unsealed

ROOT = Path(__file__).parents[2]
PRODUCT = "beta9-provisioning"
SIMULATOR = "beta9-simulator"
_SECONDS = 300
_UNRELATED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")


@dataclass(frozen=True)
class Installation:
    """A virtual environment."""

    directory: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.directory / "bin" / "python")

    @property
    def program(self) -> str:
        """The command line of the product."""
        return str(self.directory / "bin" / PRODUCT)

    def variables(self, home: Path, **settings: str) -> dict[str, str]:
        """Environment variables of a process that is to find nothing but this installation."""
        path = os.pathsep.join([str(self.directory / "bin"), os.defpath])
        return {"PATH": path, "HOME": str(home), **settings}

    def run(self, *arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the product's command line to its end."""
        return subprocess.run(
            [self.program, *arguments],
            cwd=cwd,
            env=self.variables(cwd, **settings),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def versions(self) -> dict[str, str]:
        """Names and versions of all that is installed."""
        return {canonicalize_name(one.name): one.version for one in self._distributions()}

    def sizes(self) -> dict[str, int]:
        """What each distribution takes, in bytes and without byte code; the largest comes first."""
        found = {
            one.name: sum(path.stat().st_size for path in _files(one) if path.suffix != ".pyc")
            for one in self._distributions()
        }
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _distributions(self) -> Iterator[metadata.Distribution]:
        (packages,) = self.directory.glob("lib/python*/site-packages")
        return iter(metadata.distributions(path=[str(packages)]))


class Installations:
    """Those of one test run, below a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def wheel(self, project: str = PRODUCT) -> Path:
        """The wheel of a project, built from a copy, for building leaves files in the sources."""
        (wheel,) = self._once(f"wheel-{project}", lambda folder: _build(project, folder)).glob("*.whl")
        return wheel

    def api(self) -> Installation:
        """`pip install .`"""
        return self._installed("api", ["-c", "requirements.txt", f"{PRODUCT} @ {self.wheel().as_uri()}"])

    def worker(self) -> Installation:
        """`pip install '.[worker]'`"""
        return self._installed(
            "worker", ["-c", "requirements.txt", f"{PRODUCT}[worker] @ {self.wheel().as_uri()}"]
        )

    def local(self) -> Installation:
        """`pip install '.[local]' ./simulator`"""
        return self._installed(
            "local",
            [
                *("-c", "requirements-dev.txt"),
                f"{PRODUCT}[local] @ {self.wheel().as_uri()}",
                f"{SIMULATOR} @ {self.wheel(SIMULATOR).as_uri()}",
            ],
        )

    def documented(self) -> Installation:
        """`pip install -r requirements.txt` of the deployment guide, and the product without dependencies."""
        return self._installed(
            "documented",
            ["--require-hashes", "-r", "requirements.txt"],
            ["--no-deps", str(self.wheel())],
        )

    def _installed(self, name: str, *installs: list[str]) -> Installation:
        def make(folder: Path) -> None:
            environment = Installation(folder)
            _uv("venv", "--python", sys.executable, str(folder))
            for arguments in installs:
                _uv("pip", "install", "--python", environment.python, *arguments)

        return Installation(self._once(name, make))

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of this name, which the first process that asks for it makes."""
        folder, made = self._folder / name, self._folder / f"{name}.made"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                make(folder)
                made.touch()
        return folder


def pinned(file: str, environment: dict[str, str] | None = None) -> dict[str, str]:
    """Names and versions that a compiled requirement file gives on this machine.

    Every one must have a hash. `environment` says what another machine has: `{"python_version": "3.12"}`.
    """
    found: dict[str, str] = {}
    for entry in (ROOT / file).read_text().replace("\\\n", "").splitlines():
        if not entry or entry.lstrip().startswith("#"):
            continue
        text, *hashes = entry.split("--hash=")
        assert hashes, entry
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (version,) = requirement.specifier
            found[canonicalize_name(requirement.name)] = version.version
    return found


def table(environments: Mapping[str, Installation], *, shown: int = 8) -> str:
    """What each environment takes, with its largest parts."""
    lines: list[str] = []
    for name, environment in environments.items():
        sizes = environment.sizes()
        lines.append(f"{name}: {len(sizes)} distributions, {_megabytes(sum(sizes.values()))}")
        lines += [f"  {_megabytes(size)}  {part}" for part, size in list(sizes.items())[:shown]]
    return "\n".join(lines)


def lay_checkout(folder: Path) -> Path:
    """Make the folder look like a checkout to the local stack, so that the true one is left alone."""
    for name in ("example-config.yaml", "requirements-tools.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def _files(distribution: metadata.Distribution) -> Iterator[Path]:
    paths = (Path(str(file.locate())) for file in distribution.files or [])
    return (path for path in paths if path.is_file())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:7.1f} MB"


def _build(project: str, into: Path) -> None:
    origin = ROOT if project == PRODUCT else ROOT / "simulator"
    source = into / "source"
    shutil.copytree(origin / "src", source / "src", ignore=_UNRELATED)
    for file in (origin / "pyproject.toml", *origin.glob("requirements*.in")):
        shutil.copy(file, source)
    # Without isolation it takes the setuptools of requirements-dev.txt; otherwise it would fetch the newest.
    _uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, str(source), "-o", str(into))


def _uv(*arguments: str) -> None:
    run_uv(unsealed(), *arguments)
