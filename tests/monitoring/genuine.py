"""Debian's Prometheus and Alertmanager, run on free ports of loopback."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from math import isnan
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML
from tests.support.clusters import ROOT
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.ports import free_port

PROGRAMS = ("promtool", "prometheus", "prometheus-alertmanager", "amtool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
RULES = ROOT / "containers" / "monitoring" / "rules.yml"
CONFIG = ROOT / "containers" / "monitoring" / "prometheus.yml"
_PORTS_TRIED = 5


def yaml(text: str) -> Any:
    """What a YAML file says."""
    return YAML(typ="safe", pure=True).load(StringIO(text))


def written(path: Path, document: Any) -> Path:
    """Write a YAML file, and return it."""
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(document, file)
    return path


def run(*command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the tools, whatever comes of it."""
    return subprocess.run(
        [str(part) for part in command],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
    )


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs."""

    url: str

    def ask(self, path: str, **parameters: Any) -> Any:
        """Ask its API; a refusal fails the test."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=GUARD_SECONDS).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, query: str) -> list[float]:
        """The values of a query now."""
        return [float(one["value"][1]) for one in self.ask("query", query=query)["result"]]

    def value(self, query: str) -> float:
        """The one value of a query now."""
        (found,) = self.values(query)
        return found

    def ever(self, query: str, since: float, till: float) -> list[float]:
        """All values of a query in a time, without those that are no number."""
        found = self.ask("query_range", query=query, start=since, end=till, step=1)["result"]
        values = [float(value) for one in found for _, value in one["values"]]
        return [value for value in values if not isnan(value)]


@contextmanager
def prometheus(directory: Path, config: Mapping[str, Any]) -> Iterator[Prometheus]:
    """Run Prometheus meanwhile; its files are in the directory."""
    path = written(directory / "prometheus.yml", dict(config))
    options = (f"--config.file={path}", f"--storage.tsdb.path={directory / 'tsdb'}")
    with _serving("prometheus", options, directory) as url:
        yield Prometheus(url)


@contextmanager
def alertmanager(directory: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """Run Alertmanager meanwhile, alone; gives its URL."""
    path = written(directory / "alertmanager.yml", dict(config))
    options = (f"--config.file={path}", f"--storage.path={directory / 'data'}", "--cluster.listen-address=")
    with _serving("prometheus-alertmanager", options, directory) as url:
        yield url


@contextmanager
def _serving(program: str, options: Sequence[str], directory: Path) -> Iterator[str]:
    for _ in range(_PORTS_TRIED):  # another program may take the port first
        address = f"127.0.0.1:{free_port()}"
        log = directory / f"{program}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [program, *options, f"--web.listen-address={address}"], stdout=output, stderr=output
            )
        try:
            until(lambda: child.poll() is not None or _ready(address), f"{program} is ready")  # noqa: B023
            if child.poll() is not None:
                assert "address already in use" in log.read_text(), log.read_text()
                continue
            yield f"http://{address}"
            return
        finally:
            child.terminate()
            child.wait(GUARD_SECONDS)
    raise AssertionError(f"{program} found no free port")


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=GUARD_SECONDS).is_success
    except httpx.TransportError:
        return False


def quick_rules(path: Path) -> Path:
    """Write the rules with a second in the place of each minute that a condition has to last."""
    document = yaml(RULES.read_text())
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = rule["for"].replace("m", "s")
    return written(path, document)


def scrape_config(targets: Mapping[str, Sequence[str]], rules: Path) -> dict[str, Any]:
    """docker-compose's configuration with these addresses in the place of names, asked each second."""
    config: dict[str, Any] = yaml(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(rules)]
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    assert {job["job_name"] for job in jobs} == set(targets)
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": list(targets[job["job_name"]])}]}
        for job in jobs
    ]
    return config
