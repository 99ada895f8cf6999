"""The state chart in the documentation is the one that the code has, and it is right."""

import re

import pytest
from scripts.render_lifecycle import FILE, chart, render, table

from beta9_provisioning.lifecycle import PATHS, EnvironmentStatus, Kind, OperationStatus, Reason, moves


def test_the_chart_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), (
        "docs/lifecycle.md is stale: run python scripts/render_lifecycle.py"
    )


@pytest.mark.parametrize("kind", Kind)
def test_a_chart_has_every_move_and_no_other(kind: Kind) -> None:
    drawn = re.findall(r"^ +(\w+) --> (\w+)$", chart(kind), re.MULTILINE)
    reached = [status for status in PATHS[kind] if status is not OperationStatus.SUCCEEDED]
    assert sorted(drawn) == sorted((before, after) for before in reached for after in moves(kind, before))


def test_every_public_status_and_every_reason_is_named() -> None:
    page = render()
    for name in (*EnvironmentStatus, *Reason):
        assert f"`{name}`" in page
    for status in EnvironmentStatus:
        assert re.search(rf"^\|.*`{status}`.*\|$", page, re.MULTILINE), f"{status} is in no cell of the table"


def test_what_a_kind_never_is_has_no_public_status() -> None:
    rows = [line.split(" | ") for line in table().splitlines()]
    (destroying,) = [row for row in rows if row[0] == "| `destroying`"]
    assert destroying[1:] == ["–", "–", "`destroying` |"]
