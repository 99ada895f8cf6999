"""The parts of docs/aws.md that are derived: what the examples create and cost, and the tables of versions.

The rest of the page is written by hand; the parts stand between marks.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from scripts.aws_costs import PRICES, Cost, costs
from scripts.check_support import CHOSEN
from scripts.examples import EXAMPLES, ROOT, Document, resources, stack

from beta9_provisioning.clouds.aws.adoption_table import WAYS
from beta9_provisioning.clouds.aws.versions import Support

PAGE = "docs/aws.md"
_PART = re.compile(r"(<!-- derived: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def aws_page() -> str:
    """Return docs/aws.md: as it is, with its derived parts anew."""
    return _PART.sub(lambda part: part[1] + _PARTS[part[2]]() + part[4], (ROOT / PAGE).read_text())


@cache
def _stacks() -> Mapping[str, Document]:
    with tempfile.TemporaryDirectory() as scratch:
        return {name: stack(name, Path(scratch) / name) for name in EXAMPLES}


def _resources() -> str:
    counts = {
        name: Counter(address.partition(".")[0] for address in resources(made))
        for name, made in _stacks().items()
    }
    kinds = sorted({kind for counted in counts.values() for kind in counted})
    rows = [
        [f"`{kind}`", *(str(counted[kind] or "") for counted in counts.values()), _adoption(kind)]
        for kind in kinds
    ]
    rows.append(["together", *(str(counted.total()) for counted in counts.values()), ""])
    return _table(["type", *(f"`{name}`" for name in counts), "adopted by"], rows)


def _adoption(kind: str) -> str:
    way = WAYS[kind]
    return f"import of `{way.form}`" if way.form else f"`{way.why}` again"


def _costs() -> str:
    bills = {name: costs(made) for name, made in _stacks().items()}
    parts = sorted({cost.what for bill in bills.values() for cost in bill})
    rows = [[what, *(_amount(bill, what) for bill in bills.values())] for what in parts]
    totals = [sum(cost.dollars for cost in bill) for bill in bills.values()]
    rows.append(["**together**", *(f"**{total:,.0f}**" for total in totals)])
    head = f"USD a month in {PRICES['region']}, prices read on {PRICES['read']}"
    return _table([head, *(f"`{name}`" for name in bills)], rows)


def _amount(bill: list[Cost], what: str) -> str:
    found = [cost for cost in bill if cost.what == what]
    return ", ".join(f"{cost.amount:g} x {cost.each:.5g} = {cost.dollars:,.0f}" for cost in found)


def _versions() -> str:
    rows = [
        [name, version, _mark(version, chosen), str(support.standard_until), _later(support)]
        for name, table, chosen in CHOSEN
        for version, support in table.items()
    ]
    head = ["", "version", "new environments get it", "standard support until", "extended support until"]
    return _table(head, rows) + "\n" + "".join(f"- {name}: {source}\n" for name, source in _sources())


def _mark(version: str, chosen: str) -> str:
    return "yes" if version == chosen else ""


def _later(support: Support) -> str:
    return str(support.extended_until) if support.extended_until > support.standard_until else ""


def _sources() -> list[tuple[str, str]]:
    return [(name, table[chosen].source) for name, table, chosen in CHOSEN]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_PARTS: Mapping[str, Callable[[], str]] = {"resources": _resources, "costs": _costs, "versions": _versions}
