"""`python -m simulation`: run histories for so many seconds, or one seed, and tell what was found."""

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from pathlib import Path

import structlog

from beta9_provisioning.settings import Settings
from simulation.faults import KINDS, draw
from simulation.history import History, Outcome
from simulation.judge import figures
from simulation.meetings import Meeting
from simulation.server import own_database


def quiet() -> None:
    """Log nothing of what the product and its libraries log."""
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def seal() -> None:
    """Take away the developer's variables: the product looks through all that there are for each command."""
    for name in set(os.environ) - {"PATH", "HOME", "TMPDIR", "LANG"}:
        del os.environ[name]


def settings_for(place: Path) -> Settings:
    """Return the product's default settings, but for where things are."""
    return Settings(
        workdir_base=place,
        chart_source="oci://charts.invalid/simulated",
        control_plane_cidrs=("203.0.113.0/24",),  # type: ignore[arg-type]
        max_environments_per_user=1000,
        _env_file=None,  # type: ignore[call-arg]
    )


def main() -> int:
    """Return 1 when there was a violation."""
    arguments = _arguments()
    quiet()
    seal()
    began = time.monotonic()
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    broken: list[Outcome] = []
    recoveries: list[float] = []
    meetings: set[Meeting] = set()
    new: list[tuple[int, int]] = []
    with own_database() as (database, place):
        seed = arguments.first if arguments.seed is None else arguments.seed
        ran = 0
        while True:
            trace = arguments.trace.open("w") if arguments.trace else None
            listener = None if trace is None else lambda line: print(line, file=trace)  # noqa: B023
            outcome = History(
                seed,
                draw(seed, arguments.kinds, is_small=arguments.small),
                database,
                settings_for(place),
                place,
                listener=listener,
            ).run()
            if trace is not None:
                trace.close()
            ran += 1
            total["histories"] += 1
            total["operations"] += outcome.operations
            total["statements"] += outcome.statements
            total["seconds"] += int(outcome.seconds)
            total.update(outcome.kinds)
            faults.update(outcome.faults)
            recoveries += outcome.recoveries
            new.append((outcome.operations, len(outcome.meetings - meetings)))
            meetings |= outcome.meetings
            if outcome.violations:
                broken.append(outcome)
                _tell(outcome, _again(arguments))
            if arguments.json:
                spent = time.monotonic() - began
                told = {"last": seed, "total": total, "faults": faults, "recovery": figures(recoveries)}
                told |= {
                    "wall": round(spent),
                    "broken": len(broken),
                    "meetings": sorted(meetings),
                    "new": new,
                }
                arguments.json.write_text(json.dumps(told))
            seed += 1
            if arguments.seed is not None or ran == arguments.seeds:
                break
            if not arguments.seeds and time.monotonic() - began > arguments.seconds:
                break
    spent = time.monotonic() - began
    print(f"meetings: {_met(meetings, new)}")
    print(f"{dict(total)}\nfaults: {dict(faults)}")
    print(f"seconds from a worker's death to the next attempt: {figures(recoveries)}")
    print(
        f"{total['operations']} operations in {spent:.0f} s: {total['operations'] / spent:.1f}/s, "
        f"{len(broken)} histories with violations, {sum(len(one.violations) for one in broken)} violations"
    )
    if arguments.seed is not None:
        print(f"trace {outcome.trace}, {outcome.points} points, {outcome.seconds:.1f} s")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long to run, by the clock on the wall"
    )
    parser.add_argument("--seed", type=int, help="run this seed alone, and print its history")
    parser.add_argument("--first", type=int, default=1, help="first seed of those that are run")
    parser.add_argument(
        "--seeds", type=int, default=0, help="how many to run; 0: as many as there is time for"
    )
    parser.add_argument("--trace", type=Path, help="write the whole trace into this file")
    parser.add_argument("--json", type=Path, help="write the figures so far into this file")
    parser.add_argument("--kinds", nargs="*", default=KINDS, help="faults to draw from: " + ", ".join(KINDS))
    parser.add_argument("--small", action="store_true", help="histories of few environments")
    return parser.parse_args()


def _again(arguments: argparse.Namespace) -> str:
    """Return what `make simulate` needs besides the seed to repeat a history."""
    kinds = "" if arguments.kinds == KINDS else f' KINDS="{" ".join(arguments.kinds)}"'
    return kinds + (" SMALL=1" if arguments.small else "")


def _met(meetings: set[Meeting], new: list[tuple[int, int]]) -> str:
    """Tell how many different meetings there were, and how many of them were new in the last tenth."""
    late = new[-max(len(new) // 10, 1) :]
    found, operations = sum(count for _, count in late), sum(number for number, _ in late)
    return f"{len(meetings)} of a fault with a function, {found} of them in the last {operations} operations"


def _tell(outcome: Outcome, more: str) -> None:
    seed = outcome.seed
    print(f"seed {seed}: {len(outcome.violations)} violations; make simulate SEED={seed}{more}")
    print(f"  faults: {outcome.faults}")
    for violation in outcome.violations:
        print(f"  {violation}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
