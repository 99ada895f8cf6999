"""What is printed: one line a case, and two tables, of cases with short leases and with default settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.acceptance.crash_matrix.cases import Case
from tests.acceptance.crash_matrix.life import Result
from tests.acceptance.crash_matrix.recovery import ROWS, Sample

_STUCK = ("lock", "unsaved", "outlived")


@dataclass(frozen=True)
class Broken:
    """A case that the harness itself could not play to its end."""

    case: Case
    why: str


def repeat(case: Case) -> str:
    """Return the command that plays a case again."""
    return f"make crash-matrix SEED={case.seed} CASE='{case.name}'"


def line(result: Result | Broken) -> str:
    """Return what to tell of a case when it has ended."""
    case = result.case
    if isinstance(result, Broken):
        return f"BROKEN {case.name}: {case}\n    {result.why}\n    {repeat(case)}"
    head = f"{case.name:11} {result.outcome:9} {result.seconds:4.0f} s  {case}"
    head += f" ({', '.join(result.failures)})" if result.failures else ""
    if result.is_good:
        return f"ok   {head}"
    return "\n".join([f"FAIL {head}", *(f"    {one}" for one in result.violations), f"    {repeat(case)}"])


def tables(results: Sequence[Result], broken: Sequence[Broken] = ()) -> str:
    """Return both tables, in Markdown."""
    cases = ["| settings | cases | recovered | failed, retried | lost | orphaned | stuck | other |"]
    cases.append("|---|---|---|---|---|---|---|---|")
    times = ["| recovery after | settings | samples | p50 | p95 | max |", "|---|---|---|---|---|---|"]
    for is_default, settings in ((False, "short leases"), (True, "default")):
        own = [one for one in results if one.case.default_settings is is_default]
        lost = [one for one in broken if one.case.default_settings is is_default]
        cases.append(_of_cases(settings, own, lost))
        times += _of_times(settings, [sample for one in own for sample in one.samples])
    return "\n".join([*cases, "", *times])


def _of_cases(settings: str, own: Sequence[Result], broken: Sequence[Broken]) -> str:
    outcomes = Counter(one.outcome for one in own)
    kinds = Counter(violation.kind for one in own for violation in one.violations)
    stuck = sum(kinds[kind] for kind in _STUCK)
    other = sum(kinds.values()) - stuck - kinds["orphaned"] - kinds["lost"] + len(broken)
    figures = (len(own) + len(broken), outcomes["recovered"], outcomes["failed"], outcomes["lost"])
    return f"| {settings} | {' | '.join(map(str, (*figures, kinds['orphaned'], stuck, other)))} |"


def _of_times(settings: str, samples: Iterable[Sample]) -> list[str]:
    found = list(samples)
    rows = []
    for row in ROWS:
        times = sorted(one.seconds for one in found if one.row == row)
        if times:
            told = " | ".join(f"{_quantile(times, share):.1f} s" for share in (0.5, 0.95, 1.0))
            rows.append(f"| {row} | {settings} | {len(times)} | {told} |")
    return rows


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, -(-round(share * len(ordered) * 1000) // 1000) - 1)]
