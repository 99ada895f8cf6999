"""The monitors find API and workers; the rules ask for what is exported. promtool judges them elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from promql_parser import parse_duration
from tests.manifests.conftest import Operator
from tests.support.clusters import ROOT
from tests.support.manifests import NAMESPACE, Manifest, container, find, objects
from tests.support.page import OPERATIONS, blocks, script
from tests.support.promql import FOREIGN, alerts, autoscaler_queries, faults, rules, selectors

API, WORKER = "provisioning-api", "provisioning-worker"
RUNBOOK = "https://docs.beta9.example.com/operations"
CONTRACT = [
    "ProvisioningAPIDown",
    "HighProvisioningFailureRate",
    "EnvironmentStuckInProvisioning",
    "EnvironmentStuckInDestroying",
    "ProvisioningDestroyFailed",
    "ProvisioningQueueBacklog",
    "ProvisioningNoWorkers",
    "ProvisioningLeasesLost",
    "ProvisioningAPILatencyHigh",
    "ProvisioningAPIErrors",
    "ProvisioningDatabaseDown",
    "ProvisioningQueueDown",
    "ProvisioningDatabasePoolExhausted",
    "ProvisioningAPISaturated",
    "ProvisioningBackgroundFailures",
    "ProvisioningBackupMissing",
]
ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in rules() if "alert" in rule]
GUIDES = """
kubectl apply -f - <<EOF
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: provisioning-api
  namespace: beta9-provisioning
spec:
  selector:
    matchLabels:
      app: provisioning-api
  endpoints:
  - port: http
    path: /metrics
    interval: 30s
EOF
"""


def selected(monitor: Manifest, bodies: list[Manifest]) -> list[Manifest]:
    """The objects whose labels a monitor selects."""
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    return [body for body in bodies if wanted <= body["metadata"]["labels"].items()]


def test_everything_has_the_label_that_kube_prometheus_stack_selects() -> None:
    bodies = objects("monitoring.yaml")
    assert {body["kind"] for body in bodies} == {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert {body["metadata"]["labels"]["release"] for body in bodies} == {"prometheus"}


def test_both_tracks_of_the_api_are_scraped_under_one_job() -> None:
    services = [
        body
        for name in ("provisioning-api.yaml", "provisioning-api-v2.yaml")
        for body in objects(name)
        if body["kind"] == "Service"
    ]
    monitor = find(objects("monitoring.yaml"), "ServiceMonitor", API)
    found = selected(monitor, services)
    assert [body["metadata"]["name"] for body in found] == [API, f"{API}-v2"]
    assert {body["metadata"]["labels"][monitor["spec"]["jobLabel"]] for body in found} == {API}
    assert [body["metadata"]["labels"][monitor["spec"]["targetLabels"][0]] for body in found] == [
        "blue",
        "green",
    ]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in body["spec"]["ports"]} for body in found)


def test_workers_are_scraped_by_the_name_of_their_port() -> None:
    monitor = find(objects("monitoring.yaml"), "PodMonitor", WORKER)
    deployment = find(objects("provisioning-api.yaml"), "Deployment", WORKER)
    (template,) = selected(monitor, [deployment["spec"]["template"]])
    assert template["metadata"]["labels"][monitor["spec"]["jobLabel"]] == WORKER
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in container(deployment)["ports"]}


def test_the_guides_own_monitor_finds_the_service_as_it_is_typed(with_custom_types: Operator) -> None:
    with_custom_types.types("kubectl apply -f manifests/provisioning-api.yaml")
    with_custom_types.types(GUIDES)
    monitor = with_custom_types.get("servicemonitor", API)
    (service,) = selected(monitor, [with_custom_types.get("service", API)])
    (endpoint,) = monitor["spec"]["endpoints"]
    assert [port["name"] for port in service["spec"]["ports"]] == [endpoint["port"]]
    # Without a jobLabel the job is the Service's name: the same as ours, so that the rules see it.
    assert service["metadata"]["name"] == API


def test_the_alerts_are_those_that_the_runbook_and_the_guide_name() -> None:
    assert set(CONTRACT) <= set(alerts())
    assert len(alerts()) == len(set(alerts()))


@pytest.mark.parametrize("rule", [pytest.param(r, id=r.get("alert") or r.get("record")) for r in rules()])
def test_a_rule_asks_for_what_is_exported_and_counts_no_replica_twice(rule: dict[str, Any]) -> None:
    assert list(faults(rule["expr"])) == []
    # Another product in the same Prometheus, as docker-compose has one, is none of its business.
    named = [s for s in selectors(rule["expr"]) if ":" not in s.name]
    own = [selector for selector in named if selector.name not in FOREIGN]
    assert all(selector.labels["job"] in (API, WORKER, "provisioning-(api|worker)") for selector in own)
    for selector in (one for one in named if one.name in FOREIGN):
        cronjob = find(objects("backup.yaml"), "CronJob", selector.labels["cronjob"])
        assert cronjob["metadata"]["namespace"] == selector.labels["namespace"]


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_says_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"{RUNBOOK}#{rule['alert'].lower()}"
    # Short enough for a telephone; a figure in it has its unit.
    assert len(told["summary"]) < 60
    assert "{{ $value }}" not in told["description"]
    # One bad scrape wakes nobody.
    assert parse_duration(rule["for"]) >= parse_duration("2m")


@pytest.mark.parametrize("name", alerts())
def test_the_runbook_has_a_section_for_the_alert(name: str) -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert name.lower() in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_runbooks_queries_ask_for_what_is_exported_and_count_no_replica_twice() -> None:
    found = [block for block in blocks(OPERATIONS) if "promql" in (block.language, block.where)]
    assert {(block.language, block.where) for block in found} == {("promql", "prometheus")}
    for query in filter(None, script(OPERATIONS, "prometheus").splitlines()):
        assert list(faults(query)) == [], query


@pytest.mark.parametrize("place", autoscaler_queries())
def test_an_autoscaler_asks_for_what_is_exported_and_counts_no_replica_twice(place: str) -> None:
    assert list(faults(autoscaler_queries()[place])) == []


def test_namespaces_are_ours() -> None:
    assert {body["metadata"]["namespace"] for body in objects("monitoring.yaml")} == {NAMESPACE}
