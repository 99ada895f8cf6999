"""The dashboards: what is committed is what the code builds, and each query asks for what is exported."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML
from scripts.dashboards.__main__ import BUILDERS, written
from tests.support.clusters import ROOT
from tests.support.promql import VARIABLES, dashboards, exported, faults, panel_queries, selectors

PLACE = ROOT / "dashboards"
PANELS = [
    pytest.param(panel, id=f"{name}:{panel['title']}")
    for name, board in dashboards().items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


@pytest.mark.parametrize("name", BUILDERS)
def test_the_committed_file_is_what_the_code_builds(name: str) -> None:
    assert (PLACE / name).read_text() == written(BUILDERS[name]()), "run `make dashboards`"


def test_there_are_the_three_dashboards_of_the_guide_and_the_config_map_has_them_all() -> None:
    titles = {name: board["title"] for name, board in dashboards().items()}
    assert titles == {
        "api-performance.json": "API Performance",
        "provisioning-overview.json": "Provisioning Overview",
        "worker-health.json": "Worker Health",
    }
    made = YAML(typ="safe", pure=True).load((PLACE / "kustomization.yaml").read_text())
    (config_map,) = made["configMapGenerator"]
    assert config_map["files"] == sorted(titles)
    assert made["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    assert len({board["uid"] for board in dashboards().values()}) == 3


@pytest.mark.parametrize(("place", "query"), panel_queries(), ids=[place for place, _ in panel_queries()])
def test_a_query_asks_for_what_is_exported_and_counts_no_replica_twice(place: str, query: str) -> None:
    assert list(faults(query)) == [], place
    assert "$" not in query
    assert all("job" in selector.labels for selector in selectors(query))


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    asked = " ".join(target["expr"] for target in panel["targets"])
    if re.search(r"_seconds\b|histogram_quantile", asked):
        assert panel["fieldConfig"]["defaults"]["unit"] == "s"


@pytest.mark.parametrize("board", dashboards().values(), ids=dashboards())
def test_every_variable_is_there_and_no_panel_lies_upon_another(board: dict[str, Any]) -> None:
    names = {f"${variable['name']}" for variable in board["templating"]["list"]}
    assert names <= VARIABLES.keys() | {"$datasource"}
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", ()))
    for variable in VARIABLES.keys() - {"$__rate_interval"} - names:
        assert variable not in asked
    covered = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(covered) == len(set(covered))
    assert max(x for x, _ in covered) < 24
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_every_metric_is_shown_somewhere() -> None:
    asked = {selector.name for _, query in panel_queries() for selector in selectors(query)}
    histograms = {name.removesuffix("_bucket") for name in exported() if name.endswith("_bucket")}
    plain = {name for name in exported() if not name.startswith(tuple(histograms))}
    assert plain <= asked
    assert {f"{name}_bucket" for name in histograms} <= asked


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sum(provisioning_live_workers)", "the same from every replica, and is joined by 'sum'"),
        ("provisioning_live_workers", "the same from every replica, and is joined by ''"),
        ("max(increase(provisioning_environments_total[1h]))", "outlives replicas"),
        ("sum(max(max_over_time(provisioning_environments_total[5m])))", ""),
        ("max(kube_cronjob_created)", ""),
        ("max(sum(provisioning_operations_waiting))", "is joined by 'sum'"),
        ("max(provisioning_operation_waiting)", "nobody exports provisioning_operation_waiting"),
        ('max(provisioning_operations{phases="queued"})', "has no label phases"),
        ("max by (state) (provisioning_environments_current)", "has no label state"),
        ("max by (job, status) (provisioning_environments_current)", ""),
        ("sum by (le) (rate(provisioning_worker_dispatch_seconds_bucket[5m]))", ""),
        ("sum(rate(provisioning_worker_dispatch_seconds[5m]))", "nobody exports"),
    ],
)
def test_the_search_finds_what_a_query_gets_wrong(query: str, told: str) -> None:
    found = "\n".join(faults(query))
    assert told in found
    assert bool(found) == bool(told)
