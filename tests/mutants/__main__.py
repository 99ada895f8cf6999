"""`make mutants`: break recovery one piece at a time, in a copy of the source, and see that it is noticed.

`manifest.toml` names for each patch what it breaks and what must notice: cases of the crash matrix, tests,
seeds of the simulation. A patch that does not apply any more is an error, and so is one that was never
executed: its lines call `_mutant.executed()`, which leaves a mark. The unbroken product must pass the same
three times.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.crash_matrix.__main__ import play
from tests.acceptance.crash_matrix.cases import named
from tests.acceptance.crash_matrix.life import Result
from tests.acceptance.crash_matrix.report import line

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SEED = 1
"""Of the cases of the matrix."""
_BASELINE = 3
_EXECUTED = "_mutant.executed()"
_MODULE = "from pathlib import Path\n\n\ndef executed() -> None:\n    Path({!r}).touch()\n"
_IMPORT = "from beta9_provisioning import _mutant\n"
# Before all others: a program's module runs before its end is read.
_FIRST_IMPORT = re.compile(r"^(?=import |from (?!__future__))", re.MULTILINE)
_TEST_SECONDS = 900
# Begins the names of directories: sockets of Terraform's plugins lie deep below.
_SHORT = "b9-"


@dataclass(frozen=True)
class Mutant:
    """One patch.

    Attributes:
        breaks: what does not work any more.
        invariant: the kind of violation by which the matrix must notice it; empty when it is not asked.
        cases: of the matrix, spelled out.
        tests: pytest's names.
        simulation: seeds.
    """

    name: str
    breaks: str
    invariant: str = ""
    cases: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    simulation: tuple[int, ...] = ()

    @property
    def patch(self) -> Path:
        """The file that holds it."""
        return HERE / f"{self.name}.patch"


@dataclass
class Checks:
    """What is run, on a mutant or on the unbroken product."""

    cases: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    simulation: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, mutants: Iterable[Mutant]) -> Checks:
        """Return all that is to notice these mutants, each once."""
        chosen = list(mutants)
        return cls(
            list(dict.fromkeys(case for one in chosen for case in one.cases)),
            list(dict.fromkeys(test for one in chosen for test in one.tests)),
            list(dict.fromkeys(seed for one in chosen for seed in one.simulation)),
        )

    def run(self, source: Path, directory: Path, lanes: int) -> list[tuple[str, set[str], str]]:
        """Run everything; return what failed, by which invariants, and what it said."""
        failed = list(_played(self.cases, source, directory, lanes)) if self.cases else []
        for test in self.tests:
            if told := _tested(test, source):
                failed.append((test, {"test"}, told))
        for seed in self.simulation:
            if told := _simulated(seed, source):
                failed.append((f"seed {seed}", {"simulation"}, told))
        return failed


class Useless(Exception):
    """A patch that proves nothing; the message says why."""


def mutants() -> list[Mutant]:
    """Return all mutants of the manifest.

    Raises:
        Useless: there is a patch that the manifest does not name, or one that it names is not there.
    """
    document = tomllib.loads((HERE / "manifest.toml").read_text())
    found = [Mutant(key, **_frozen(one)) for key, one in document.items()]
    there = {path.stem for path in HERE.glob("*.patch")}
    if different := there ^ {one.name for one in found}:
        raise Useless(f"manifest.toml and the patches differ: {', '.join(sorted(different))}")
    return found


def _frozen(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def broken(mutant: Mutant, directory: Path) -> tuple[Path, Path]:
    """Return a copy of the source that the patch has broken, and the file that tells of its execution.

    Raises:
        Useless: the patch fits no more, or leaves no mark.
    """
    text = mutant.patch.read_text()
    if not any(each.startswith("+") and _EXECUTED in each for each in text.splitlines()):
        raise Useless(f"{mutant.name}: none of its lines calls {_EXECUTED}")
    shutil.copytree(
        ROOT / "src", directory / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    done = subprocess.run(
        ["git", "apply", "--verbose", str(mutant.patch)],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Useless(f"{mutant.name} fits the source no more: {done.stderr.strip()}")
    source, mark = directory / "src", directory / "executed"
    (source / "beta9_provisioning" / "_mutant.py").write_text(_MODULE.format(str(mark)))
    for path in {line_[6:].strip() for line_ in text.splitlines() if line_.startswith("+++ b/")}:
        patched = directory / path
        patched.write_text(_FIRST_IMPORT.sub(_IMPORT, patched.read_text(), count=1))
    return source, mark


def judge(mutant: Mutant, lanes: int) -> str:
    """Return by what a mutant was noticed.

    Raises:
        Useless: it was not, or it was never executed.
    """
    with tempfile.TemporaryDirectory(prefix=_SHORT) as temporary:
        source, mark = broken(mutant, Path(temporary))
        failed = Checks.of([mutant]).run(source, Path(temporary), lanes)
        if not mark.exists():
            raise Useless(f"{mutant.name} was never executed")
    noticed = [
        what
        for what, kinds, _ in failed
        if not mutant.invariant or kinds & {mutant.invariant, "test", "simulation"}
    ]
    if not noticed:
        told = "\n".join(text for _, _, text in failed)
        raise Useless(f"{mutant.name} was not noticed ({mutant.breaks}).\n{told}")
    return ", ".join(noticed)


def _played(
    cases: Sequence[str], source: Path, directory: Path, lanes: int
) -> Iterable[tuple[str, set[str], str]]:
    home = Path(tempfile.mkdtemp(prefix=_SHORT, dir=directory))
    for found in play([named(SEED, one) for one in cases], home, lanes=lanes, source=source):
        if not isinstance(found, Result):
            raise Useless(line(found))
        if not found.is_good:
            yield found.case.name, {each.kind for each in found.violations} | {found.outcome}, line(found)


def _tested(test: str, source: Path) -> str:
    """Run a test on a source; return what it said if it failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "-x", test]
    command += ["-o", f"pythonpath={source} simulator/src ."]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=_TEST_SECONDS, check=False
    )
    if done.returncode not in (0, 1):
        raise Useless(f"{test} could not be run:\n{done.stdout[-1500:]}{done.stderr[-500:]}")
    return done.stdout[-1500:] if done.returncode else ""


def _simulated(seed: int, source: Path) -> str:
    """Run a seed of the simulation on a source; return what it said if it found a violation."""
    command = [sys.executable, "-m", "simulation", "--first", str(seed), "--seeds", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(source), "simulator/src", "."))}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TEST_SECONDS,
        check=False,
    )
    if done.returncode not in (0, 1) or done.stderr.startswith("Traceback"):
        raise Useless(f"seed {seed} could not be simulated:\n{done.stderr[-1500:]}")
    return done.stdout[-1500:] if done.returncode else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the mutants that the command line names, or all; 0 when each was noticed."""
    parser = argparse.ArgumentParser(description="See that what breaks recovery is noticed.")
    parser.add_argument("names", nargs="*", help="mutants; all without any")
    parser.add_argument(
        "--baseline", type=int, default=_BASELINE, help="how often the unbroken product must pass"
    )
    parser.add_argument("--lanes", type=int, default=2)
    asked = parser.parse_args(arguments)
    chosen = [one for one in mutants() if not asked.names or one.name in asked.names]
    errors = 0
    for turn in range(asked.baseline):
        with tempfile.TemporaryDirectory(prefix=_SHORT) as temporary:
            failed = Checks.of(chosen).run(ROOT / "src", Path(temporary), asked.lanes)
        errors += len(failed)
        print(f"unbroken, {turn + 1} of {asked.baseline}: {'passed' if not failed else 'FAILED'}", flush=True)
        for _, _, told in failed:
            print(told, flush=True)
    for one in chosen:
        try:
            print(f"noticed   {one.name}: {judge(one, asked.lanes)}", flush=True)
        except Useless as error:
            errors += 1
            print(f"ERROR     {error}", flush=True)
    print(f"{len(chosen)} mutants, {errors} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
