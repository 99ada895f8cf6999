"""Queries of rules and dashboards as the parser sees them, and the metrics that API and workers export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import promql_parser
from tests.support.clusters import ROOT
from tests.support.manifests import MANIFESTS, find, objects, parse
from tests.support.reference import metrics_page

VARIABLES = {
    "$job": "provisioning-api",
    "$worker_job": "provisioning-worker",
    "$instance": ".+",
    "$__rate_interval": "1m",
}
"""What Grafana puts in the place of a dashboard's variables, in a test."""
OF_TARGETS = frozenset({"job", "instance"})
"""Labels that Prometheus gives to all series."""
SHARED, REPLICA, WORKER = "shared", "replica", "worker"
"""Who reports a metric: each replica of the API alike, each for itself, or each worker for itself."""
_SECTION = {
    "Figures of database and queue": SHARED,
    "Counts of each replica of the API": REPLICA,
    "Counts of each worker": WORKER,
}
_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<kind>\w+) \| (?P<labels>[^|]*) \|", re.MULTILINE)
_OF_HISTOGRAM = ("_bucket", "_count", "_sum")
# Looks at each series alone, of which none outlives its replica.
_OF_EACH_SERIES = frozenset({"rate", "irate", "increase"})
FOREIGN = {
    "kube_cronjob_created": frozenset({"namespace", "cronjob"}),
    "kube_cronjob_status_last_successful_time": frozenset({"namespace", "cronjob"}),
}
"""What kube-state-metrics exports, which no test here runs; its documentation has names and labels."""
# Of Prometheus itself.
_BUILT_IN = {
    "up": frozenset[str](),
    "scrape_duration_seconds": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
}


@dataclass(frozen=True)
class Selector:
    """One selection of series in a query.

    Attributes:
        name: of the metric.
        labels: those it is selected by, with their values.
        aggregation: the innermost one around it, else empty.
        functions: those that are called around it.
        grouped: the labels that some aggregation around it groups by.
    """

    name: str
    labels: dict[str, str]
    aggregation: str
    functions: frozenset[str]
    grouped: frozenset[str]


def selectors(query: str) -> list[Selector]:
    """What a query selects.

    Raises:
        ValueError: it is no query.
    """
    found: list[Selector] = []
    above: list[promql_parser.Expr] = []

    def enter(node: promql_parser.Expr) -> bool:
        above.append(node)
        if isinstance(node, promql_parser.VectorSelector):
            around = [one for one in above if isinstance(one, promql_parser.AggregateExpr)]
            grouped = frozenset(label for one in around if one.modifier for label in one.modifier.labels)
            labels = {matcher.name: matcher.value for matcher in node.matchers.matchers}
            functions = frozenset(one.func.name for one in above if isinstance(one, promql_parser.Call))
            aggregation = str(around[-1].op) if around else ""
            found.append(Selector(node.name or "", labels, aggregation, functions, grouped))
        return True

    def leave(_: promql_parser.Expr) -> bool:
        above.pop()
        return True

    promql_parser.walk(promql_parser.parse(query), enter, leave)
    return found


@dataclass(frozen=True)
class Metric:
    """A metric that is exported: by whom, and with which labels."""

    reporters: frozenset[str]
    labels: frozenset[str]


@cache
def exported() -> dict[str, Metric]:
    """All metrics, by the names under which series have them, as docs/metrics.md is derived from the code."""
    found: dict[str, Metric] = {}
    for section in metrics_page().split("\n## ")[1:]:
        reporter = _SECTION[section.splitlines()[0]]
        for row in _ROW.finditer(section):
            labels = frozenset(re.findall(r"`(\w+)`", row["labels"]))
            for suffix in _OF_HISTOGRAM if row["kind"] == "histogram" else ("",):
                name = row["name"] + suffix
                before = found[name].reporters if name in found else frozenset[str]()
                more = {"le"} if suffix == "_bucket" else set[str]()
                found[name] = Metric(before | {reporter}, labels | more)
    return found


def rules() -> list[dict[str, Any]]:
    """All rules, in order."""
    groups = find(objects("monitoring.yaml"), "PrometheusRule", "provisioning-alerts")["spec"]["groups"]
    return [dict(rule) for group in groups for rule in group["rules"]]


def alerts() -> list[str]:
    """The names of all alerts."""
    return [rule["alert"] for rule in rules() if "alert" in rule]


def recorded() -> dict[str, frozenset[str]]:
    """Names of recorded figures, which say their labels first, and those labels."""
    names = [rule["record"] for rule in rules() if "record" in rule]
    return {name: frozenset(name.partition(":")[0].split("_")) - OF_TARGETS for name in names}


def faults(query: str) -> Iterator[str]:
    """What a query names that nobody exports, and what of it would be counted once for each replica."""
    known = recorded() | _BUILT_IN | FOREIGN | {name: metric.labels for name, metric in exported().items()}
    for selector in selectors(query):
        if selector.name not in known:
            yield f"nobody exports {selector.name}"
            continue
        unknown = (selector.labels.keys() | selector.grouped) - known[selector.name] - OF_TARGETS
        if unknown:
            yield f"{selector.name} has no label {', '.join(sorted(unknown))}"
        metric = exported().get(selector.name)
        if metric and metric.reporters == {SHARED} and selector.aggregation not in ("max", "min"):
            yield f"{selector.name} is the same from every replica, and is joined by {selector.aggregation!r}"
        if metric and metric.reporters == {SHARED} and selector.functions & _OF_EACH_SERIES:
            yield f"{selector.name} outlives replicas, and its rise is looked for in each alone"


def filled(query: str) -> str:
    """A dashboard's query with values in the place of its variables."""
    for name, value in sorted(VARIABLES.items(), reverse=True):
        query = query.replace(name, value)
    return query


def dashboards() -> dict[str, dict[str, Any]]:
    """The committed dashboards, by file."""
    paths = sorted((ROOT / "dashboards").glob("*.json"))
    return {path.name: json.loads(path.read_text()) for path in paths}


def panel_queries() -> list[tuple[str, str]]:
    """All queries of all dashboards: where each stands, and the query as Grafana sends it."""
    return [
        (f"{name}: {panel['title']} {target['refId']}", filled(target["expr"]))
        for name, board in dashboards().items()
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def autoscaler_queries() -> dict[str, str]:
    """What prometheus-adapter and KEDA ask, the adapter's templates filled as it does."""
    (values,) = parse((MANIFESTS / "autoscaling/prometheus-adapter-values.yaml").read_text())
    found = {
        f"adapter: {rule['name']['as']}": rule["metricsQuery"]
        .replace("<<.Series>>", rule["name"]["as"])
        .replace("<<.LabelMatchers>>", 'queue_name="provisioning.jobs"')
        for rule in values["rules"]["external"]
    }
    (trigger,) = find(objects("autoscaling-keda.yaml"), "ScaledObject", "provisioning-worker")["spec"][
        "triggers"
    ]
    return {**found, "keda": trigger["metadata"]["query"]}
