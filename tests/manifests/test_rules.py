"""What the manifests promise: the guide's names, labels, security, settings that fit program and image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.support.clusters import ROOT
from tests.support.manifests import (
    EXAMPLES,
    MANIFESTS,
    NAMESPACE,
    OVERLAYS,
    PLAIN,
    Manifest,
    container,
    find,
    objects,
    parse,
)

from beta9_provisioning.api.streams import StreamTimes
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker import heartbeat, pruner, reconciler
from beta9_simulator.cluster import pod_security
from beta9_simulator.cluster.syntax import is_label_key, is_label_value, quantity

EVERYTHING = [*PLAIN, *OVERLAYS, *EXAMPLES]
API, WORKER = "provisioning-api", "provisioning-worker"
_MEBI = 1024**2
# Peaks of resident memory, measured with `make demo` and with the genuine 3.39.0 provider (124 MiB).
_IDLE_MIB = 320  # worker 140, its synthesizer and that one's Node.js 180
_TERRAFORM_MIB = 135
_PROVIDER_MIB = 330  # the pinned 6.69.1 cannot be had here: 2.7 times the old one
_HELMS_MIB = 3 * 75  # base charts are installed three at a time, while Terraform runs


@pytest.fixture
def service() -> list[Manifest]:
    return objects("provisioning-api.yaml")


@pytest.fixture
def second() -> list[Manifest]:
    return objects("provisioning-api-v2.yaml")


def deployments() -> list[Any]:
    return [
        pytest.param(body, id=f"{name}:{body['metadata']['name']}")
        for name in (*PLAIN, *OVERLAYS)
        for body in objects(name)
        if body["kind"] == "Deployment"
    ]


def settings_of(deployment: Manifest) -> dict[str, str]:
    return {v["name"]: v.get("value", "") for v in container(deployment)["env"]}


def test_the_first_file_has_what_the_guide_names(service: list[Manifest]) -> None:
    namespace = find(service, "Namespace", NAMESPACE)
    assert {
        namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"]
        for mode in ("enforce", "audit", "warn")
    } == {"restricted"}
    api, worker = find(service, "Deployment", API), find(service, "Deployment", WORKER)
    assert (container(api)["name"], container(worker)["name"]) == ("api", "worker")
    assert container(api)["image"] == "beta9-provisioning-api:latest"
    assert container(worker)["image"] == "beta9-provisioning-worker:latest"
    port = {"name": "http", "port": 80, "targetPort": "http"}
    assert find(service, "Service", API)["spec"]["ports"] == [port]
    rules = find(service, "Ingress", API)["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["provisioning.beta9.example.com"]
    backend = rules[0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": API, "port": {"name": "http"}}
    assert find(service, "Ingress", API)["spec"]["tls"][0]["hosts"] == ["provisioning.beta9.example.com"]


def test_the_guides_sed_finds_each_image_once() -> None:
    text = (MANIFESTS / "provisioning-api.yaml").read_text()
    for image in ("beta9-provisioning-api:latest", "beta9-provisioning-worker:latest"):
        assert text.count(image) == 1


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_is_in_the_namespace_that_others_make_or_own(name: str) -> None:
    for body in objects(name):
        assert body["kind"] not in ("ConfigMap", "Secret")
        assert "replicas" not in body.get("spec", {})
        if body["kind"] == "ServiceAccount":
            assert "annotations" not in body["metadata"]
        if body["kind"] != "Namespace":
            assert body["metadata"]["namespace"] == NAMESPACE


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_object_is_there_twice(name: str) -> None:
    places = [(b["kind"], b["metadata"]["name"]) for b in objects(name)]
    assert len(places) == len(set(places))


def test_pods_and_services_carry_the_labels(service: list[Manifest], second: list[Manifest]) -> None:
    for bodies, suffix, track in ((service, "", "blue"), (second, "-v2", "green")):
        labels = {"app": API, "track": track}
        deployment, front = find(bodies, "Deployment", API + suffix), find(bodies, "Service", API + suffix)
        budget = find(bodies, "PodDisruptionBudget", API + suffix)
        assert deployment["spec"]["template"]["metadata"]["labels"] == labels
        assert deployment["spec"]["selector"]["matchLabels"] == labels
        assert front["metadata"]["labels"] == labels
        assert front["spec"]["selector"] == labels
        assert budget["spec"] == {
            "maxUnavailable": 1,
            "selector": {"matchLabels": labels},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
    worker = find(service, "Deployment", WORKER)["spec"]["template"]["metadata"]["labels"]
    assert worker == {"app": WORKER}
    assert find(service, "PodDisruptionBudget", WORKER)["spec"]["selector"]["matchLabels"] == worker


def test_the_second_track_is_the_first_one_with_another_name(
    service: list[Manifest], second: list[Manifest]
) -> None:
    one = find(service, "Deployment", API)["spec"]["template"]["spec"]
    other = find(second, "Deployment", f"{API}-v2")["spec"]["template"]["spec"]
    for constraint in other["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"].pop("track") == "green"
    for constraint in one["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"].pop("track") == "blue"
    assert other == one
    assert {body["kind"] for body in second} == {
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    }


@pytest.mark.parametrize("deployment", deployments())
def test_pods_are_allowed_where_pod_security_is_restricted(deployment: Manifest) -> None:
    spec = deployment["spec"]["template"]["spec"]
    assert pod_security.violations(spec, "restricted") == []
    context = spec["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001, 10001, 10001)
    assert container(deployment)["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == container(deployment)["name"].join(["provisioning-", ""])


@pytest.mark.parametrize("deployment", deployments())
def test_probes_and_volumes_fit_the_container(deployment: Manifest) -> None:
    found = container(deployment)
    ports = {port["name"]: port["containerPort"] for port in found["ports"]}
    paths = {"api": ("/health", "/health", "/health/ready"), "worker": ("/metrics", "/metrics", "/metrics")}
    probes = [found[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert tuple(probe["path"] for probe in probes) == paths[found["name"]]
    assert {probe["port"] for probe in probes} <= ports.keys()
    settings = settings_of(deployment)
    listening = (
        ("API_HOST", "API_PORT") if found["name"] == "api" else ("WORKER_METRICS_HOST", "WORKER_METRICS_PORT")
    )
    assert [settings[name] for name in listening] == ["0.0.0.0", str(*ports.values())]
    mounts = {
        mount["mountPath"]: mount["name"] for mount in found["volumeMounts"] if not mount.get("readOnly")
    }
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    writable = {"/tmp"} | ({settings["WORKDIR_BASE"]} if found["name"] == "worker" else set())
    assert mounts.keys() == writable
    kept = {name for name, volume in volumes.items() if "emptyDir" not in volume}
    assert set(mounts.values()) == volumes.keys() - kept
    assert kept == ({"audit-key"} if found["name"] == "worker" else set())


@pytest.mark.parametrize("deployment", deployments())
def test_only_workers_may_read_the_key_of_the_audit_log(deployment: Manifest) -> None:
    found = container(deployment)
    given = [mount for mount in found["volumeMounts"] if mount["name"] == "audit-key"]
    if found["name"] == "api":
        assert given == []
        return
    (volume,) = (v for v in deployment["spec"]["template"]["spec"]["volumes"] if v["name"] == "audit-key")
    assert given == [{"name": "audit-key", "mountPath": "/etc/beta9-provisioning/audit", "readOnly": True}]
    secret = {"secretName": "provisioning-audit-key", "optional": True, "defaultMode": 0o440}
    assert volume["secret"] == secret
    named = f"AUDIT_SIGNING_KEY_FILE={given[0]['mountPath']}/audit.key"
    assert named in (ROOT / "docs/audit.md").read_text()


_ONLY_THE_APIS = {
    "api": {"METRICS_TOKEN": {"name": "provisioning-secrets", "key": "metrics-token", "optional": True}}
}


@pytest.mark.parametrize("deployment", deployments())
def test_variables_are_settings_and_go_before_the_config_map(deployment: Manifest) -> None:
    settings = settings_of(deployment)
    assert {name.lower() for name in settings} <= Settings.model_fields.keys()
    found = container(deployment)
    assert found["envFrom"] == [{"configMapRef": {"name": "provisioning-config"}}]
    secrets = {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]
        for variable in found["env"]
        if "valueFrom" in variable
    }
    secret = "provisioning-secrets"
    assert secrets == _ONLY_THE_APIS.get(found["name"], {}) | {
        "DATABASE_URL": {"name": secret, "key": "database-url"},
        # Without the key the ConfigMap's stays.
        "REDIS_URL": {"name": secret, "key": "redis-url", "optional": True},
        "OTEL_EXPORTER_OTLP_HEADERS": {"name": secret, "key": "otlp-headers", "optional": True},
    }


@pytest.mark.parametrize("deployment", deployments())
def test_the_api_asks_who_is_asking_whatever_the_config_map_says(deployment: Manifest) -> None:
    settings = settings_of(deployment)
    modes = {"api": "required", "worker": None}
    assert settings.get("AUTH_MODE") == modes[container(deployment)["name"]]


def test_the_worker_finds_what_its_image_has(service: list[Manifest]) -> None:
    """The image says it too; it is said again because a `.env` in the ConfigMap goes before the image."""
    image = dict(re.findall(r"(\w+)=(\S+)", (ROOT / "Dockerfile.worker").read_text()))
    settings = settings_of(find(service, "Deployment", WORKER))
    places = {name for name, value in settings.items() if value.startswith("/")}
    assert places == {
        "WORKDIR_BASE",
        "TERRAFORM_BINARY",
        "TERRAFORM_CLI_CONFIG",
        "HELM_BINARY",
        "CHART_SOURCE",
    }
    assert {name: settings[name] for name in places} == {name: image.get(name) for name in places}


def test_the_worker_is_given_longer_than_it_takes_to_stop(service: list[Manifest]) -> None:
    """The consumer waits twice: for operations, then for the threads that fetch."""
    threads = reconciler._STOP_SECONDS + pruner._STOP_SECONDS + heartbeat._STOP_SECONDS
    takes = 2 * Settings().shutdown_seconds + threads
    worker = find(service, "Deployment", WORKER)["spec"]["template"]["spec"]
    assert worker["terminationGracePeriodSeconds"] > takes
    api = find(service, "Deployment", API)["spec"]["template"]["spec"]
    sleep = container(find(service, "Deployment", API))["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert api["terminationGracePeriodSeconds"] >= sleep + 30


@pytest.mark.parametrize("name", ["overlays/production", "overlays/development"])
def test_a_worker_asks_for_the_memory_of_its_slots(name: str) -> None:
    found = container(find(objects(name), "Deployment", WORKER))
    slots = int(settings_of(find(objects(name), "Deployment", WORKER))["WORKER_THREADS"])
    needed = _IDLE_MIB + slots * (_TERRAFORM_MIB + _PROVIDER_MIB + _HELMS_MIB)
    asked = quantity(found["resources"]["requests"]["memory"])
    assert asked is not None
    assert abs(float(asked) / _MEBI / needed - 1) < 0.03
    limit = quantity(found["resources"]["limits"]["memory"])
    assert limit is not None
    assert limit >= asked * 4 / 3


def test_the_ingress_waits_longer_than_a_stream_lives(service: list[Manifest]) -> None:
    ingress = find(service, "Ingress", API)
    assert ingress["spec"]["ingressClassName"] == "nginx"
    annotations = ingress["metadata"]["annotations"]
    seconds = [
        int(annotations[f"{prefix}/proxy-read-timeout"].removesuffix("s"))
        for prefix in ("nginx.org", "nginx.ingress.kubernetes.io")
    ]
    assert min(seconds) > StreamTimes().life
    development = find(objects("overlays/development"), "Ingress", API)
    assert development["spec"]["ingressClassName"] == "traefik"


def _selectors(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of labels by which something is selected, wherever it stands."""
    if isinstance(value, list):
        for item in value:
            yield from _selectors(item)
    elif isinstance(value, dict):
        for name, child in value.items():
            if name == "matchLabels" or (name == "selector" and _is_plain(child)):
                yield child
            elif name == "matchExpressions":
                yield from ({term["key"]: v} for term in child for v in term.get("values", [""]))
            else:
                yield from _selectors(child)


def _is_plain(selector: Any) -> bool:
    return isinstance(selector, dict) and all(isinstance(value, str) for value in selector.values())


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_selector_is_of_legal_labels(name: str) -> None:
    bodies = objects(name)
    found = [pair for body in bodies for selector in _selectors(body) for pair in selector.items()]
    found += [pair for body in bodies for pair in (body["metadata"].get("labels") or {}).items()]
    assert found or name in EXAMPLES or name == "external-secrets.yaml"
    assert [pair for pair in found if not is_label_key(pair[0]) or not is_label_value(pair[1])] == []


def test_the_search_for_selectors_finds_the_colon_of_the_guide() -> None:
    guide = {
        "metrics": [{"external": {"metric": {"selector": {"matchLabels": {"queue": "provisioning:jobs"}}}}}]
    }
    assert list(_selectors(guide)) == [{"queue": "provisioning:jobs"}]
    assert not is_label_value("provisioning:jobs")


def test_workers_are_scaled_by_their_work_and_lose_one_in_ten_minutes() -> None:
    plain = find(objects("autoscaling.yaml"), "HorizontalPodAutoscaler", WORKER)["spec"]
    metrics = {m["external"]["metric"]["name"]: m["external"] for m in plain["metrics"]}
    assert metrics["redis_queue_length"]["metric"]["selector"]["matchLabels"] == {
        "queue_name": "provisioning.jobs"
    }
    assert metrics["provisioning_workers_needed"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    keda = find(objects("autoscaling-keda.yaml"), "ScaledObject", WORKER)["spec"]
    assert keda["scaleTargetRef"] == {"name": WORKER}
    # Figures that are absent are no figures of 0, at which workers would go.
    assert keda["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == plain["behavior"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (plain["minReplicas"], plain["maxReplicas"])
    down = plain["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}]
    assert timedelta(seconds=down["stabilizationWindowSeconds"]) >= timedelta(minutes=10)


def test_shared_figures_are_joined_by_max_and_never_by_sum() -> None:
    (trigger,) = find(objects("autoscaling-keda.yaml"), "ScaledObject", WORKER)["spec"]["triggers"]
    (values,) = parse((MANIFESTS / "autoscaling/prometheus-adapter-values.yaml").read_text())
    rules = {rule["name"]["as"]: rule for rule in values["rules"]["external"]}
    assert rules["provisioning_workers_needed"]["metricsQuery"] == trigger["metadata"]["query"]
    queries = [trigger["metadata"]["query"], *(rule["metricsQuery"] for rule in rules.values())]
    for query in queries:
        shared = re.findall(r"(\w+)\(<<\.Series>>|(\w+)\(provisioning_\w+", query)
        assert shared
        assert {one or other for one, other in shared} == {"max"}
    names = set(re.findall(r"provisioning_\w+", trigger["metadata"]["query"]))
    assert names == {
        "provisioning_operations_waiting",
        "provisioning_operations_running",
        "provisioning_worker_slots",
    }


def test_slots_that_no_worker_reports_are_those_of_the_manifest(service: list[Manifest]) -> None:
    (trigger,) = find(objects("autoscaling-keda.yaml"), "ScaledObject", WORKER)["spec"]["triggers"]
    threads = settings_of(find(service, "Deployment", WORKER))["WORKER_THREADS"]
    assert f"or vector({threads})" in trigger["metadata"]["query"]


def test_policies_cover_both_tracks_and_shut_the_metadata_address() -> None:
    policies = objects("network-policies.yaml")
    for name, port in ((API, 8000), (WORKER, 9101)):
        spec = find(policies, "NetworkPolicy", name)["spec"]
        assert spec["podSelector"] == {"matchLabels": {"app": name}}
        assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
        (rule,) = spec["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": port}]
        names = [rule for rule in spec["egress"] if "ports" in rule]
        assert [port for rule in names for port in rule["ports"]] == [
            {"protocol": "UDP", "port": 53},
            {"protocol": "TCP", "port": 53},
        ]
        blocks = [peer["ipBlock"] for rule in spec["egress"] for peer in rule["to"] if "ipBlock" in peer]
        assert {block["cidr"]: block["except"] for block in blocks} == {
            "0.0.0.0/0": ["169.254.169.254/32"],
            "::/0": ["fd00:ec2::254/128"],
        }
    text = (MANIFESTS / "network-policies.yaml").read_text()
    assert text.count("kubernetes.io/metadata.name") == 4
    for namespace in ("ingress-nginx", "monitoring", "kube-system"):
        assert namespace in text


def test_backups_are_hourly_restricted_and_ask_only_for_the_database() -> None:
    bodies = objects("backup.yaml")
    job = find(bodies, "CronJob", "provisioning-backup")["spec"]
    assert re.fullmatch(r"\d+ \* \* \* \*", job["schedule"])
    assert job["concurrencyPolicy"] == "Forbid"
    template = job["jobTemplate"]["spec"]["template"]
    assert pod_security.violations(template["spec"], "restricted") == []
    (found,) = template["spec"]["containers"]
    assert found["securityContext"]["readOnlyRootFilesystem"] is True
    assert find(objects("provisioning-api.yaml"), "ServiceAccount", template["spec"]["serviceAccountName"])
    # Each path that the commands write to is a volume.
    assert {mount["mountPath"] for mount in found["volumeMounts"]} == {"/backups", "/tmp"}
    claim = find(bodies, "PersistentVolumeClaim", "provisioning-backups")["metadata"]["name"]
    assert {"name": "backups", "persistentVolumeClaim": {"claimName": claim}} in template["spec"]["volumes"]
    policy = find(bodies, "NetworkPolicy", "provisioning-backup")["spec"]
    assert policy["podSelector"]["matchLabels"] == template["metadata"]["labels"]
    api = find(objects("network-policies.yaml"), "NetworkPolicy", API)["spec"]
    assert policy["egress"] == api["egress"]
    assert "ingress" not in policy


def test_the_example_of_the_config_map_has_settings_that_the_manifests_leave_to_it(
    service: list[Manifest],
) -> None:
    data = find(objects("examples/provisioning-config.yaml"), "ConfigMap", "provisioning-config")["data"]
    decided = {name for b in service if b["kind"] == "Deployment" for name in settings_of(b)} - {"REDIS_URL"}
    assert {name.lower() for name in data} <= Settings.model_fields.keys()
    assert not data.keys() & decided
    secret = find(objects("examples/provisioning-secrets.yaml"), "Secret", "provisioning-secrets")
    assert list(secret["stringData"]) == ["database-url"]


def test_external_secrets_makes_the_secret_that_pods_read() -> None:
    bodies = objects("external-secrets.yaml")
    made = find(bodies, "ExternalSecret", "provisioning-db-credentials")["spec"]
    assert made["target"]["name"] == "provisioning-secrets"
    assert [entry["secretKey"] for entry in made["data"]] == ["database-url"]
    store = find(bodies, made["secretStoreRef"]["kind"], made["secretStoreRef"]["name"])
    account = store["spec"]["provider"]["aws"]["auth"]["jwt"]["serviceAccountRef"]["name"]
    assert find(objects("provisioning-api.yaml"), "ServiceAccount", account)
