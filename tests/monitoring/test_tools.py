"""promtool and amtool judge the rules, the configurations, and what alerts say in which case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.monitoring.genuine import CONFIG, RULES, run, written, yaml
from tests.support.clusters import ROOT
from tests.support.manifests import MANIFESTS
from tests.support.promql import alerts

CASES = sorted((ROOT / "tests/monitoring/rules").glob("*.yaml"))
VALUES = MANIFESTS / "monitoring" / "alertmanager-values.yaml"
Rule = dict[str, Any]


def cases() -> list[dict[str, Any]]:
    return [
        case for path in CASES for test in yaml(path.read_text())["tests"] for case in test["alert_rule_test"]
    ]


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    """The configuration of Alertmanager that the values of the chart hold."""
    return written(tmp_path / "alertmanager.yml", yaml(VALUES.read_text())["alertmanager"]["config"])


def test_promtool_takes_the_rules_and_the_configuration_of_compose() -> None:
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout
    done = run("promtool", "check", "config", CONFIG)
    assert done.returncode == 0, done.stdout
    assert "1 rule files found" in done.stdout


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_else_not(path: Path) -> None:
    done = run("promtool", "test", "rules", path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", alerts())
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_not(name: str) -> None:
    fires = [bool(case.get("exp_alerts")) for case in cases() if case["alertname"] == name]
    assert set(fires) == {True, False}


def broken(tmp_path: Path, how: Callable[[Rule], None], name: str) -> bool:
    """Whether some case notices that a rule was changed."""
    document = yaml(RULES.read_text())
    (rule,) = [r for g in document["groups"] for r in g["rules"] if name in (r.get("alert"), r.get("record"))]
    before = dict(rule)
    how(rule)
    assert rule != before, "nothing was changed"
    changed = written(tmp_path / "rules.yml", document)
    concerned = [path for path in CASES if f"alertname: {name}" in path.read_text() or ":" in name]
    return any(_notices(path, changed, tmp_path) for path in concerned)


def _notices(path: Path, rules: Path, directory: Path) -> bool:
    # As text: `0x60` is a number of YAML's as well.
    copied = directory / path.name
    copied.write_text(path.read_text().replace("../../../containers/monitoring/rules.yml", str(rules)))
    done = run("promtool", "test", "rules", copied)
    # It could be read, and its expectations are what failed.
    assert "FAILED" not in done.stdout or "exp:" in done.stdout, done.stdout
    return done.returncode != 0


def without_for(rule: Rule) -> None:
    rule["for"] = "0m"


def ten_times_for(rule: Rule) -> None:
    rule["for"] = rule["for"].replace("m", "0m")


def never(rule: Rule) -> None:
    rule["expr"] = f"({rule['expr']}) > 1e12"


def test_a_copy_of_the_rules_that_was_not_changed_is_noticed_by_no_case(tmp_path: Path) -> None:
    rules = written(tmp_path / "rules.yml", yaml(RULES.read_text()))
    assert not any(_notices(path, rules, tmp_path) for path in CASES)


@pytest.mark.parametrize("name", alerts())
@pytest.mark.parametrize("how", [without_for, ten_times_for, never])
def test_a_case_notices_that_an_alert_was_changed(
    tmp_path: Path, name: str, how: Callable[[Rule], None]
) -> None:
    assert broken(tmp_path, how, name)


ENTERED = "job_status:provisioning_environments:increase1h"
ENDED = "job_outcome:provisioning_operations_finished:increase1d"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("ProvisioningAPIDown", "or\nabsent(up{job=\"provisioning-api\"})", ""),
        ("ProvisioningAPIDown", "max by", "min by"),
        (ENTERED, "max by", "sum by"),
        (ENTERED, "min_over_time(provisioning_environments_total{job=\"provisioning-api\"}[1h])",
         "provisioning_environments_total{job=\"provisioning-api\"} offset 1h"),
        (ENTERED, "max_over_time(provisioning_environments_total{job=\"provisioning-api\"}[5m])",
         "provisioning_environments_total{job=\"provisioning-api\"}"),
        ("HighProvisioningFailureRate", "> 3", "> 4"),
        ("HighProvisioningFailureRate", "> 3", "> 2"),
        ("HighProvisioningFailureRate", "> 0.1", "> 0.01"),
        ("HighProvisioningFailureRate", ">= 30", ">= 61"),
        ("EnvironmentStuckInProvisioning", "provisioning|bootstrapping", "provisioning"),
        ("EnvironmentStuckInProvisioning", "> 3600", "> 2900"),
        ("EnvironmentStuckInProvisioning", "provisioning|bootstrapping", "provisioning|bootstrapping|queued"),
        ("EnvironmentStuckInDestroying", "> 3600", "> 7200"),
        ("ProvisioningQueueBacklog", "> 600", "> 300"),
        ("ProvisioningNoWorkers", "== 0", "<= 2"),
        ("ProvisioningLeasesLost", "max by", "sum by"),
        ("ProvisioningLeasesLost", "worker_lost", "worker_stopped"),
        ("ProvisioningAPILatencyHigh", ", route=~\"/api/.*\"", ""),
        ("ProvisioningAPILatencyHigh", ", route!~\".*/events\"", ""),
        ("ProvisioningAPIErrors", "> 0.05", "> 0.005"),
        ("ProvisioningDatabaseDown", "max by", "min by"),
        ("ProvisioningQueueDown", "max by", "min by"),
        ("ProvisioningDatabasePoolExhausted", ">= 0.75", ">= 0.8"),
        ("ProvisioningDatabasePoolExhausted", 'job="provisioning-worker"', 'job=~"provisioning-.*"'),
        ("ProvisioningAPISaturated", "sum by", "min by"),
        ("ProvisioningAPISaturated", "min_over_time", "max_over_time"),
        ("ProvisioningDestroyFailed", "max by (job, reason)", "max by (job)"),
        ("ProvisioningDestroyFailed", ", kind=\"destroy\"", ""),
        ("ProvisioningBackupMissing", "kube_cronjob_created", "kube_cronjob_info"),
        ("ProvisioningBackupMissing", "kube_cronjob_status_last_successful_time", "kube_cronjob_info"),
        ("ProvisioningBackupMissing", 'namespace="beta9-provisioning", ', ""),
        ("ProvisioningBackupMissing", ', cronjob="provisioning-backup"', ""),
        ("ProvisioningBackgroundFailures", "[10m]", "[1h]"),
        ("ProvisioningAPIBudgetBurningFast", "> 10", "> 1"),
        ("ProvisioningAPIBudgetBurningFast", "error_ratio30m", "error_ratio6h"),
        ("ProvisioningAPIBudgetBurningFast", "14.4 * 0.001", "0.001"),
        ("ProvisioningAPIBudgetBurning", "> 0.001", "> 0.01"),
        ("ProvisioningSuccessBudgetBurning", "> 3\n", "> 2\n"),
        (ENDED, "max by", "sum by"),
        (ENDED, ", reason!~\"configuration|access_refused\"", ""),
        ("ProvisioningTimeToReadyBudgetBurning", "> 3\n", "> 2\n"),
    ],
)  # fmt: skip
def test_a_case_notices_that_an_expression_was_changed(tmp_path: Path, name: str, old: str, new: str) -> None:
    assert broken(tmp_path, lambda rule: rule.update(expr=rule["expr"].replace(old, new)), name)


def test_amtool_takes_the_example_of_alertmanager(routes: Path) -> None:
    done = run("amtool", "check-config", routes)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=ProvisioningAPIDown", "severity=critical"), "pager"),
        (("alertname=ProvisioningQueueBacklog", "severity=warning"), "chat"),
        (("alertname=ProvisioningBackupMissing", "severity=critical"), "pager"),
        (("alertname=CPUThrottlingHigh", "severity=info"), "nobody"),
        (("alertname=KubePodCrashLooping", "severity=warning"), "chat"),
        (("alertname=Watchdog", "severity=none"), "nobody"),
    ],
)
def test_severity_decides_whom_an_alert_reaches(routes: Path, labels: tuple[str, ...], receiver: str) -> None:
    done = run("amtool", "config", "routes", "test", f"--config.file={routes}", *labels)
    assert done.stdout.splitlines()[-1] == receiver, done.stdout
