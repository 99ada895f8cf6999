"""The stack under work, seen by a genuine Prometheus: panels have data, and no replica is counted twice."""

from __future__ import annotations

import re

import pytest
from tests.monitoring.conftest import Watched
from tests.monitoring.genuine import run, yaml
from tests.support.clusters import ROOT
from tests.support.page import OPERATIONS, script
from tests.support.promql import (
    FOREIGN,
    SHARED,
    Selector,
    autoscaler_queries,
    exported,
    panel_queries,
    rules,
    selectors,
)

RULE_TESTS = sorted((ROOT / "tests/monitoring/rules").glob("*.yaml"))
OR_NOTHING = " or vector(0)"
# Its values differ by the time between two scrapes.
_GROWS = "provisioning_operations_oldest_waiting_seconds"


def input_series() -> list[str]:
    """Every series that the rules are tested with, but those of Prometheus and of kube-state-metrics."""
    found = {
        series["series"]
        for path in RULE_TESTS
        for test in yaml(path.read_text())["tests"]
        for series in test["input_series"]
    }
    return sorted(series for series in found if series.partition("{")[0] not in {"up", *FOREIGN})


def without_instance(selector: Selector) -> str:
    labels = {name: value for name, value in selector.labels.items() if name != "instance"}
    inside = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{selector.name}{{{inside}}}"


@pytest.mark.parametrize(("place", "query"), panel_queries(), ids=[place for place, _ in panel_queries()])
def test_a_panel_shows_what_happened(watched: Watched, place: str, query: str) -> None:
    assert watched.ever(query) != []
    # What stands for no series must not hide that there was none.
    assert watched.ever(query.replace(OR_NOTHING, "")) != []


@pytest.mark.parametrize("rule", [pytest.param(r, id=r.get("alert") or r.get("record")) for r in rules()])
def test_a_rule_finds_the_series_it_asks_for(watched: Watched, rule: dict[str, str]) -> None:
    for selector in selectors(rule["expr"]):
        if selector.name in FOREIGN:  # no kube-state-metrics is here
            continue
        assert watched.prometheus.ask("series", **{"match[]": selector.name}), selector.name


@pytest.mark.parametrize("series", input_series())
def test_what_the_rules_are_tested_with_was_exported(watched: Watched, series: str) -> None:
    (selector,) = selectors(series)
    found = watched.prometheus.ask("series", **{"match[]": without_instance(selector)})
    assert found != []
    # With all of its labels: a series that has more of them would be another one.
    assert {"__name__", *selector.labels} in [set(one) for one in found]


@pytest.mark.parametrize("query", list(filter(None, script(OPERATIONS, "prometheus").splitlines())))
def test_the_runbooks_queries_tell_what_happened(watched: Watched, query: str) -> None:
    assert watched.ever(query) != []


def test_the_expositions_are_what_promtool_takes_for_good(watched: Watched) -> None:
    assert len(watched.expositions) == 4
    for address, text in watched.expositions.items():
        done = run("promtool", "check", "metrics", stdin=text)
        complaints = done.stdout.splitlines()
        assert done.returncode == 0, f"{address}: {complaints}"
        assert complaints == [], address


def test_every_exported_metric_was_seen(watched: Watched) -> None:
    seen = set(watched.prometheus.ask("label/__name__/values"))
    assert set(exported()) - seen == set()


def test_both_replicas_report_the_same_of_database_and_queue(watched: Watched) -> None:
    shared = [name for name, metric in exported().items() if metric.reporters == {SHARED} and name != _GROWS]
    for name in shared:
        high = watched.prometheus.ask("query", query=f"max without (instance) ({name})")["result"]
        low = watched.prometheus.ask("query", query=f"min without (instance) ({name})")["result"]
        doubled = watched.prometheus.ask("query", query=f"count without (instance) ({name})")["result"]
        assert high, name
        assert [(one["metric"], one["value"][1]) for one in high] == [
            (one["metric"], one["value"][1]) for one in low
        ]
        assert {one["value"][1] for one in doubled} == {"2"}, name


def test_rules_and_autoscalers_count_once_what_two_replicas_report(watched: Watched) -> None:
    ask = watched.prometheus.value
    entered = 'provisioning_environments:increase1h{status="%s"}'
    assert ask(f"job_status:{entered % 'ready'}") == watched.ready
    assert ask(f"job_status:{entered % 'failed'}") == 1
    # One operation waits, no worker lives, and none is scraped: then a worker has 4 slots.
    queries = autoscaler_queries()
    assert ask("sum(provisioning_operations_waiting)") == 2
    assert ask(queries["keda"]) == 1 / 4
    assert ask(queries["adapter: provisioning_workers_needed"]) == 1 / 4
    assert ask(queries["adapter: redis_queue_length"]) == 1


def test_processes_of_one_replica_add_up_and_are_one_target(watched: Watched) -> None:
    first, second = (watched.expositions[address] for address in watched.replicas)
    sizes = [
        float(re.findall(r"^provisioning_database_connections_max (\S+)$", text, re.MULTILINE)[0])
        for text in (first, second)
    ]
    assert sizes[1] == 2 * sizes[0]
