from __future__ import annotations

import pytest

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.selectors import dig, matches_fields, matches_labels


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=api", False),
        ("app!=api", True),
        ("app!=web", False),
        ("other!=x", True),
        ("app in (web, api)", True),
        ("app in (api)", False),
        ("app notin (api)", True),
        ("other notin (api)", True),
        ("app", True),
        ("other", False),
        ("!other", True),
        ("!app", False),
        ("app=web,tier in (a,b),!other", True),
        ("app=web,tier=c", False),
        ("example.com/part=x", True),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    labels = {"app": "web", "tier": "a", "example.com/part": "x"}
    assert matches_labels(selector)(labels) is matches


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("metadata.name=p", True),
        ("metadata.name==p,status.phase!=Failed", True),
        ("metadata.name!=p", False),
        ("spec.nodeName=", True),
        ("spec.unschedulable=True", True),
    ],
)
def test_field_selectors(selector: str, matches: bool) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"unschedulable": True}, "status": {"phase": "Running"}}
    assert matches_fields(selector)(body) is matches


@pytest.mark.parametrize("selector", ["a b", "app in", "%"])
def test_bad_label_selectors(selector: str) -> None:
    with pytest.raises(ApiError) as refused:
        matches_labels(selector)
    assert refused.value.code == 400


def test_bad_field_selectors() -> None:
    with pytest.raises(ApiError, match=r"metadata\.name=value"):
        matches_fields("metadata.name")


def test_dig_stops_where_the_path_ends() -> None:
    assert dig({"a": {"b": 1}}, "a.b") == 1
    assert dig({"a": [1]}, "a.b") is None
    assert dig(None, "a") is None
