"""`python -m benchmarks`: run the benchmark, print one table, write JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import api, backup, critical_path, demo, dispatch, machine, overhead, synthesis
from benchmarks.figures import Row, number
from benchmarks.processes import BenchmarkFailed
from benchmarks.stacks import ROOT, seal_environment
from beta9_provisioning.client.errors import ApiProblem, Unreachable
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.tools import ToolError

_SECTIONS = {
    "synthesis": synthesis.measure,
    "dispatch": dispatch.measure,
    "overhead": overhead.measure,
    "path": critical_path.measure,
    "api": api.measure,
    "demo": demo.measure,
    "backup": backup.measure,
}
_FAILURES = (BenchmarkFailed, ServiceError, ToolError, EngineError, ApiProblem, Unreachable)
"""What tells that the thing measured does not work; anything else is a fault of the benchmark."""
_RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    """Run the chosen sections; 0 when all of them worked, however long they took."""
    arguments = _arguments()
    seal_environment()
    began = datetime.now(UTC)
    document: dict[str, Any] = {
        "version": 1,
        "began_at": began.isoformat(timespec="seconds"),
        "quick": arguments.quick,
        "machine": machine.describe(),
        "sections": {},
    }
    table: dict[str, list[Row]] = {}
    failed = False
    for name in arguments.only:
        before, started = machine.load(), time.monotonic()
        entry: dict[str, Any] = {}
        try:
            table[name] = _SECTIONS[name](_reporter(name), quick=arguments.quick)
            entry["rows"] = [row.document() for row in table[name]]
        except _FAILURES as error:
            failed = True
            entry["error"] = str(error)
            print(f"{name} failed: {error}", file=sys.stderr)
        entry |= {"seconds": round(time.monotonic() - started, 1), "load": [before, machine.load()]}
        document["sections"][name] = entry
    _RESULTS.mkdir(exist_ok=True)
    written = _RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json"
    written.write_text(json.dumps(document, indent=2) + "\n")
    _print(table)
    print(f"Written to {written.relative_to(ROOT)}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure synthesis, dispatch, overhead, path, API, demo, backups: see docs/benchmarks.md",
    )
    parser.add_argument(
        "--only",
        type=_sections,
        default=list(_SECTIONS),
        metavar="SECTION,...",
        help=f"sections to run, of {', '.join(_SECTIONS)}; all by default",
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that everything works")
    return parser.parse_args()


def _sections(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in _SECTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown section {unknown[0]!r}; there are {', '.join(_SECTIONS)}")
    return names


def _reporter(section: str) -> Callable[[str], None]:
    return lambda sentence: print(f"{section}: {sentence}", file=sys.stderr, flush=True)


def _print(sections: dict[str, list[Row]]) -> None:
    table = Table(
        "section", "measure", "ours", "baseline", "ratio", "aim",
        caption="Medians, with (lowest–highest, number of samples).", caption_justify="left",
    )  # fmt: skip
    for name, rows in sections.items():
        for index, row in enumerate(rows):
            cells = (str(row.ours), str(row.baseline or ""), _ratio(row), _aim(row))
            table.add_row("" if index else name, row.measure, *cells)
        table.add_section()
    console = Console()
    # Piped into a file, the table keeps its lines whole.
    Console(width=console.width if console.is_terminal else 160).print(table)


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    spread = f" ({number(min(row.pairs))}–{number(max(row.pairs))})" if len(row.pairs) > 1 else ""
    return f"{number(row.ratio)}x{spread}"


def _aim(row: Row) -> str:
    if row.aim is None:
        return ""
    unit = f" {row.ours.unit}" if row.ratio is None else "x"
    sign = "≥" if row.is_floor else "≤"
    return f"{sign} {number(row.aim)}{unit}: {'met' if row.met else 'missed'}"


if __name__ == "__main__":
    sys.exit(main())
