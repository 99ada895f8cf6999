"""`make crash-matrix`: play the cases of a seed, a few at a time, and print what became of them."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from zlib import crc32

from tests.acceptance.crash_matrix.cases import Case, case_of, named
from tests.acceptance.crash_matrix.life import Result, run_case
from tests.acceptance.crash_matrix.plant import prepare
from tests.acceptance.crash_matrix.report import Broken, line, tables

_POLL_SECONDS = 0.2
_RESULT = "result"
# One in five cases has the product's own settings.
_DEFAULTS = 5


def cases(seed: int, count: int) -> list[Case]:
    """Return so many cases of a seed, those with default settings spread among the others."""
    return [
        case_of(seed, number // _DEFAULTS, default_settings=True)
        if number % _DEFAULTS == _DEFAULTS - 1
        else case_of(seed, number - number // _DEFAULTS)
        for number in range(count)
    ]


def play(
    wanted: Sequence[Case], directory: Path, *, lanes: int, source: Path | None = None
) -> Iterator[Result | Broken]:
    """Play cases, so many at a time, each in a process of its own; give each as it ends."""
    prepared = prepare(directory, source)
    left = list(wanted)
    running: dict[BaseProcess, Case] = {}
    try:
        while left or running:
            while left and len(running) < lanes:
                case = left.pop(0)
                home = _home(directory, case)
                child: BaseProcess = multiprocessing.get_context("fork").Process(
                    target=_play, args=(case, home, prepared, source)
                )
                child.start()
                running[child] = case
            for child in [one for one in running if not one.is_alive()]:
                case = running.pop(child)
                yield _result(case, _home(directory, case))
            time.sleep(_POLL_SECONDS)
    finally:
        for child in running:
            child.terminate()
        for child in running:
            child.join()
        shutil.rmtree(prepared)


def _home(directory: Path, case: Case) -> Path:
    """Return the case's directory. Its name is short: sockets of Terraform's plugins lie below it."""
    return directory / f"{re.sub(r'[^a-z0-9]+', '-', case.name)[:12]}-{crc32(case.name.encode()):08x}"


def _kept(results: Path | None, case: Case) -> Path | None:
    """Return where the result of a case stays, for a run that goes on where this one ended."""
    return None if results is None else results / f"{case.seed}-{crc32(case.name.encode()):08x}"


def _play(case: Case, home: Path, prepared: Path, source: Path | None) -> None:
    home.mkdir()
    with (home / "output").open("w") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
        try:
            found: Result | Broken = run_case(
                case, home / "plant", prepared, may_isolate=os.geteuid() == 0, source=source
            )
        except BaseException:  # noqa: BLE001  whatever it was is told
            found = Broken(case, traceback.format_exc())
    (home / _RESULT).write_bytes(pickle.dumps(found))


def _result(case: Case, home: Path) -> Result | Broken:
    if not (home / _RESULT).exists():
        return Broken(case, f"It ended without a word; see {home}.")
    found: Result | Broken = pickle.loads((home / _RESULT).read_bytes())
    if isinstance(found, Result) and found.is_good:
        shutil.rmtree(home)
    return found


def _played(wanted: Sequence[Case], kept: Path | None) -> tuple[list[Result], list[Case]]:
    """Return the results that an earlier run has kept, and the cases that are left."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    results, left = [], []
    for case in wanted:
        place = _kept(kept, case)
        if place is not None and place.exists():
            results.append(pickle.loads(place.read_bytes()))
        else:
            left.append(case)
    return results, left


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what the command line asks for; 0 when nothing is held against the product."""
    parser = argparse.ArgumentParser(description="Kill every part of the product at every moment.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--count", type=int, default=200, help="how many cases; one in five with default settings"
    )
    parser.add_argument("--case", nargs="*", default=(), help="play these alone: short-17, or spelled out")
    parser.add_argument("--lanes", type=int, default=3, help="how many at a time")
    parser.add_argument("--results", type=Path, help="keep results here; what it has is not played again")
    parser.add_argument("--source", type=Path, help="a copy of the product's source to run")
    asked = parser.parse_args(arguments)
    # Also in the processes of the cases: what they have started is ended, and no data stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    wanted = [named(asked.seed, one) for one in asked.case] or cases(asked.seed, asked.count)
    results, left = _played(wanted, asked.results)
    directory = Path(tempfile.mkdtemp(prefix="crash-matrix-"))
    print(f"{len(left)} cases of seed {asked.seed}; what fails leaves its logs in {directory}", flush=True)
    began = time.monotonic()
    broken: list[Broken] = []
    for found in play(left, directory, lanes=asked.lanes, source=asked.source):
        print(line(found), flush=True)
        if isinstance(found, Broken):
            broken.append(found)
            continue
        results.append(found)
        if place := _kept(asked.results, found.case):
            place.write_bytes(pickle.dumps(found))
    print(
        f"\n{tables(results, broken)}\n\n{len(left)} cases in {(time.monotonic() - began) / 60:.0f} minutes"
    )
    return 0 if not broken and all(one.is_good for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
