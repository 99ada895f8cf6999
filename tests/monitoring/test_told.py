"""From a process that dies to somebody who is told: API, Prometheus, Alertmanager, and a webhook."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.monitoring.genuine import alertmanager, prometheus, quick_rules, scrape_config, yaml
from tests.support.http_servers import QuietHandler, answering_with
from tests.support.manifests import MANIFESTS
from tests.support.serving import answers, api_process
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.ports import free_port
from beta9_provisioning.settings import Settings

VALUES = MANIFESTS / "monitoring" / "alertmanager-values.yaml"
DOWN = 'ALERTS{alertname="ProvisioningAPIDown"}'
Message = dict[str, Any]


class Told:
    """Messages that Alertmanager has sent, with the receiver's name in each."""

    def __init__(self) -> None:
        self._messages: queue.Queue[Message] = queue.Queue()

    def handler(self, *arguments: Any) -> QuietHandler:
        """Take one message."""
        messages = self._messages

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                messages.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

        return Handler(*arguments)

    def next(self) -> Message:
        """The next message, which must come."""
        return self._messages.get(timeout=GUARD_SECONDS)

    def forget(self) -> None:
        """Look no more at what came so far."""
        while not self.is_empty():
            self.next()

    def is_empty(self) -> bool:
        """Whether none is there that was not looked at."""
        return self._messages.empty()


@contextmanager
def telling(directory: Path) -> Iterator[tuple[str, Told]]:
    """Run Alertmanager with the example's routes, at once, not after half a minute; gives its address."""
    told = Told()
    with answering_with(told.handler) as webhook:
        config = yaml(VALUES.read_text())["alertmanager"]["config"]
        config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
        for receiver in config["receivers"]:
            for one in receiver.get("webhook_configs", ()):
                one["url"] = f"{webhook}/{receiver['name']}"
        with alertmanager(directory, config) as url:
            yield url, told


def test_a_killed_api_reaches_the_pager_with_its_runbook_and_its_return_as_well(
    tmp_path: Path, database_url: str, redis_url: str, clean_database: None
) -> None:
    port = free_port()
    settings = Settings(database_url=database_url, redis_url=redis_url, api_processes=1)
    with telling(tmp_path) as (url, told):
        config = scrape_config({"provisioning-api": [f"127.0.0.1:{port}"]}, quick_rules(tmp_path / "r.yml"))
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [url.removeprefix("http://")]}]}]
        }
        with api_process(settings, port, tmp_path) as api, prometheus(tmp_path, config) as watching:
            until(lambda: watching.values("up") == [1], "the API is scraped")
            until(lambda: not watching.values(DOWN), "what was told before it was up is over")
            told.forget()
            api.kill()
            api.wait()
            message = down(told, "firing")
            (alert,) = message["alerts"]
            assert message["receiver"] == "pager"
            assert alert["labels"]["severity"] == "critical"
            assert alert["annotations"]["summary"] == "Provisioning API is down"
            assert alert["annotations"]["runbook_url"].endswith("/operations#provisioningapidown")
            with api_process(settings, port, tmp_path):
                until(lambda: answers(port), "the API is back")
                assert down(told, "resolved")["receiver"] == "pager"


def down(told: Told, status: str) -> Message:
    """The next message about the API with this status."""
    while True:
        message = told.next()
        if (message["groupLabels"]["alertname"], message["status"]) == ("ProvisioningAPIDown", status):
            return message


@pytest.mark.parametrize(
    ("cause", "severity", "consequence", "is_told"),
    [
        ("ProvisioningDatabaseDown", "critical", "ProvisioningAPIErrors", False),
        ("ProvisioningAPIDown", "critical", "HighProvisioningFailureRate", False),
        ("ProvisioningNoWorkers", "critical", "ProvisioningQueueBacklog", False),
        ("ProvisioningNoWorkers", "critical", "ProvisioningAPIErrors", True),
        ("ProvisioningQueueDown", "warning", "ProvisioningQueueBacklog", True),
        ("ProvisioningDestroyFailed", "warning", "ProvisioningQueueBacklog", True),
    ],
)
def test_what_follows_from_another_alert_is_not_told_besides_it(
    tmp_path: Path, cause: str, severity: str, consequence: str, is_told: bool
) -> None:
    with telling(tmp_path) as (url, told):
        post(url, cause, severity)
        assert told.next()["groupLabels"]["alertname"] == cause
        post(url, consequence, "warning")
        if is_told:
            assert told.next()["groupLabels"]["alertname"] == consequence
            return
        until(lambda: inhibited(url) == {consequence}, "it is held back")
        post(url, "Another", "warning")  # which is told after it would have been
        assert told.next()["groupLabels"]["alertname"] == "Another"
        assert told.is_empty()


def post(url: str, name: str, severity: str) -> None:
    """Have an alert fire."""
    labels = {"alertname": name, "severity": severity, "job": "provisioning-api"}
    answer = httpx.post(f"{url}/api/v2/alerts", json=[{"labels": labels}], timeout=GUARD_SECONDS)
    assert answer.status_code == 200, answer.text


def inhibited(url: str) -> set[str]:
    """The names of alerts that are held back because of others."""
    found = httpx.get(f"{url}/api/v2/alerts", timeout=GUARD_SECONDS).json()
    return {one["labels"]["alertname"] for one in found if one["status"]["inhibitedBy"]}
