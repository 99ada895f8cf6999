"""docs/security.md names a test for each claim: they are there, and no threat is without one."""

import ast
import re

from tests.security.attacks import every_attack
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(?:(\w+)::)?(\w+)`")


def test_every_named_test_is_there() -> None:
    named = TEST.findall(PAGE)
    assert len(named) > 20
    missing = [(path, name) for path, _, name in named if name not in _functions(path)]
    assert missing == []


def test_the_number_of_attacks_is_that_of_the_corpus() -> None:
    assert f"({len(every_attack())} attacks, `tests/security/corpus/`)" in PAGE


def test_every_threat_names_what_attacks_it() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count(" | ") == 2]
    threats = [row for row in rows if not row.startswith(("| threat |", "|---"))]
    assert len(threats) > 20
    assert [row for row in threats if not TEST.search(row)] == []


def _functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
