"""docker-compose.yaml as the guide uses it, and an environment's whole life in the containers beside it."""

import filecmp
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML
from tests.containers.composed import (
    GENUINE,
    SIMULATED,
    Api,
    Composed,
    composed,
    docker,
    inspect,
    tell,
    timed,
)
from tests.support.page import DEPLOYMENT, script
from tests.support.simulated import ROOT
from tests.support.waiting import GUARD_SECONDS, until

# As docs/deployment.md has them.
COPY, UP, INIT_DB, CURL = script(DEPLOYMENT, "compose").splitlines()
PATHS = ("CHART_SOURCE", "TERRAFORM_CLI_CONFIG", "TERRAFORM_BINARY", "HELM_BINARY")
SIMULATED_ONLY = ("api-simulated", "worker-simulated", "database-simulated")
ALL = ("postgres", "redis", "api", "worker", "cloud", "api-simulated", "worker-simulated", "prometheus")
figures: dict[str, float] = {}


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """What somebody has who typed the guide's commands, one after the other, in a terminal."""
    with composed(tmp_path_factory.mktemp("guide")) as found:
        found.typed(COPY)
        with timed("from `docker-compose up -d` to three healthy containers", figures):
            found.typed(UP)
            found.wait_until_healthy("postgres", "redis", "api")
        assert Api(GENUINE).ready() == (503, {})
        with timed("from `init_db` to a healthy worker", figures):
            found.typed(INIT_DB)
            found.wait_until_healthy("worker")
        yield found


@pytest.fixture(scope="module")
def everything(guide: Composed) -> Composed:
    """The same with the profiles; Grafana is not started, for there is no such image here."""
    with timed("from `up` to the healthy simulated product", figures):
        guide.compose("--profile", "simulated", "up", "--detach")
        guide.wait_until_healthy("cloud", "api-simulated", "worker-simulated")
    guide.compose("up", "--detach", "prometheus")
    return guide


@pytest.fixture(scope="module", autouse=True)
def _told(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    tell(request.config, figures)


@pytest.fixture(scope="module")
def key(guide: Composed) -> str:
    """The first key, by the command of docs/compose.md."""
    return guide.compose("exec", "-T", "api", "beta9-provisioning", "bootstrap").strip()


def test_the_guides_commands_lead_to_a_healthy_service(guide: Composed, key: str) -> None:
    answer = guide.typed(CURL)
    assert json.loads(answer) == {"status": "healthy", "service": "beta9-provisioning"}
    until(lambda: Api(GENUINE).ready()[0] == 200, "the service is ready")
    assert Api(GENUINE, key).ready()[1]["schema"]["ok"]
    assert httpx.get(f"{GENUINE}/api/v1/environments").status_code == 401
    assert filecmp.cmp(guide.folder / ".env", ROOT / ".env.example", shallow=False)
    guide.typed(INIT_DB)  # again, at any time


def test_what_the_container_decides_goes_before_env(guide: Composed) -> None:
    worker = dict(one.split("=", 1) for one in inspect(guide.container("worker"))["Config"]["Env"])
    api = dict(one.split("=", 1) for one in inspect(guide.container("api"))["Config"]["Env"])
    assert api["API_HOST"] == worker["WORKER_METRICS_HOST"] == "0.0.0.0"
    assert api["DATABASE_URL"] == worker["DATABASE_URL"]
    for name in (*PATHS, "WORKDIR_BASE"):
        # It is not .env's, and there is such a thing.
        guide.inside("worker", "test", "-e", worker[name])
        assert worker[name].startswith("/opt/beta9/") or worker[name].startswith(
            ("/usr/local/bin/", "/var/lib")
        )
    assert worker["LEASE_SECONDS"] == "55.0"  # and what is left to .env comes from there


@pytest.mark.usefixtures("everything")
def test_containers_can_do_little_and_are_reached_from_this_machine_only(everything: Composed) -> None:
    for service in ALL:
        found = inspect(everything.container(service))
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert not host["Privileged"], service
        assert host["Memory"] > 0, service
        assert everything.inside(service, "id", "-u").strip() != "0", service
        published = [one for ports in (host["PortBindings"] or {}).values() for one in ports]
        assert {one["HostIp"] for one in published} <= {"127.0.0.1"}, service
        assert not any("docker.sock" in mount["Source"] for mount in found["Mounts"]), service
        with pytest.raises(AssertionError, match="Read-only file system"):
            everything.inside(service, "touch", "/etc/x")


def test_a_page_of_another_site_does_not_reach_the_api(guide: Composed) -> None:
    answer = httpx.get(f"{GENUINE}/api/v1/environments", headers={"Host": "attacker.example"})
    assert answer.status_code == 421


def test_server_and_clients_have_the_same_major(guide: Composed) -> None:
    server = guide.inside("postgres", "postgres", "--version").split()[2]
    client = guide.inside("api", "pg_dump", "--version").split()[2]
    assert server.split(".")[0] == client.split(".")[0]


def test_the_simulated_worker_is_the_production_worker_and_one_layer() -> None:
    production, simulated = (
        inspect(f"beta9-provisioning-{name}:latest") for name in ("worker", "worker-simulated")
    )
    layers = production["RootFS"]["Layers"]
    assert simulated["RootFS"]["Layers"][:-1] == layers
    for name in ("Cmd", "Entrypoint", "User", "WorkingDir", "Healthcheck"):
        assert simulated["Config"].get(name) == production["Config"].get(name)
    changed = set(simulated["Config"]["Env"]) ^ set(production["Config"]["Env"])
    assert {one.split("=", 1)[0] for one in changed} == {"CHART_SOURCE", "TERRAFORM_CLI_CONFIG"}
    added = docker("run", "--rm", "--entrypoint", "ls", "beta9-provisioning-worker-simulated:latest", "/opt")
    before = docker("run", "--rm", "--entrypoint", "ls", "beta9-provisioning-worker:latest", "/opt")
    assert set(added.split()) - set(before.split()) == {"beta9-simulator"}


def test_an_environments_whole_life_in_the_containers(everything: Composed, key: str) -> None:
    api = Api(SIMULATED)
    create = f"curl --silent -X POST {SIMULATED}/api/v1/environments -H 'Content-Type: application/json' "
    with timed("from POST to ready", figures):
        answer = json.loads(everything.typed(f"{create} -d @example-config.yaml"))
        environment_id = answer["environment_id"]
        ready = api.wait(environment_id, "ready")
    assert ready["outputs"]["cluster_endpoint"].startswith("https://cloud:6443/clusters/123456789012/")
    assert everything.leftovers() != []
    with timed("from DELETE to destroyed", figures):
        api.delete(environment_id)
        api.wait(environment_id, "destroyed")
    assert everything.leftovers() == []
    # The worker that could act in a real account never heard of it.
    assert Api(GENUINE, key).http.get("/api/v1/environments").json()["items"] == []


def test_the_cloud_does_not_answer_whoever_has_no_key(everything: Composed) -> None:
    ask = "import urllib.request as u; print(u.urlopen('http://cloud:{}').read())"
    with pytest.raises(AssertionError, match="403"):
        everything.inside("api", "python", "-c", ask.format("4566/"))
    with pytest.raises(AssertionError, match="Connection refused"):
        everything.inside("api", "python", "-c", ask.format("4567/leftovers"))


def test_prometheus_scrapes_both_products_has_the_rules_and_the_overview_shows_something(
    everything: Composed,
) -> None:
    prometheus = httpx.Client(base_url="http://localhost:9090/api/v1", timeout=GUARD_SECONDS)

    def jobs() -> set[str]:
        targets = prometheus.get("/targets").json()["data"]["activeTargets"]
        return {one["labels"]["job"] for one in targets if one["health"] == "up"}

    both = {f"provisioning-{part}{product}" for part in ("api", "worker") for product in ("", "-simulated")}
    until(lambda: jobs() == both, "all targets are up")

    def judged() -> bool:
        groups = prometheus.get("/rules").json()["data"]["groups"]
        health = {rule["health"] for group in groups for rule in group["rules"]}
        assert health <= {"ok", "unknown"}
        return health == {"ok"}

    until(judged, "all rules were evaluated")
    dashboard = json.loads((ROOT / "dashboards/provisioning-overview.json").read_text())
    numbers = [panel for panel in dashboard["panels"] if panel["type"] == "stat"]
    # What rules record, by names with a colon, is of the genuine product alone.
    plain = [panel for panel in numbers if not re.search(r"\w:\w", panel["targets"][0]["expr"])]
    assert len(plain) == 6
    for panel in plain:
        (target,) = panel["targets"]
        query = target["expr"]
        for variable, job in (("$worker_job", "worker"), ("$job", "api")):
            query = query.replace(variable, f"provisioning-{job}-simulated")

        def has_answer(expression: str = query) -> bool:
            return bool(prometheus.get("/query", params={"query": expression}).json()["data"]["result"])

        until(has_answer, f"the panel {panel['title']!r} has something to show")


def test_what_env_says_of_the_host_does_not_get_into_the_containers(guide: Composed, tmp_path: Path) -> None:
    hosts = {
        **{name: "/of/the/host" for name in (*PATHS, "WORKDIR_BASE")},
        **{name: "127.0.0.1" for name in ("API_HOST", "WORKER_METRICS_HOST")},
        **{name: "redis://of.the.host:1/0" for name in ("DATABASE_URL", "REDIS_URL")},
        **{name: "key" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")},
        "API_PORT": "9000",
        "LOG_LEVEL": "DEBUG",
    }
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in hosts.items()))
    shutil.copy(guide.folder / "docker-compose.yaml", tmp_path)
    printed = Composed(tmp_path).compose("--profile", "simulated", "config")
    services = YAML(typ="safe", pure=True).load(printed)["services"]
    keys = {name for name, value in hosts.items() if value == "key"}
    for service, let_in in (
        ("api", {"LOG_LEVEL", *PATHS, "WORKDIR_BASE", "WORKER_METRICS_HOST"}),  # it uses none of the paths
        ("worker", {"LOG_LEVEL", "API_HOST", "API_PORT", *keys}),
        *((name, set()) for name in SIMULATED_ONLY),
    ):
        given = services[service]["environment"]
        assert {name for name, value in hosts.items() if given.get(name) == value} <= let_in, service
    assert services["api"]["ports"] == ["127.0.0.1:9000:8000/tcp"]


def test_the_file_is_valid_for_the_compose_that_is_here(guide: Composed) -> None:
    assert (
        Path(guide.folder / "docker-compose.yaml").read_text() == (ROOT / "docker-compose.yaml").read_text()
    )
    services = guide.compose("--profile", "simulated", "--profile", "monitoring", "config", "--services")
    assert set(services.split()) == {*ALL, "database-simulated", "grafana"}
