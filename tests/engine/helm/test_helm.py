"""Genuine Helm on a simulated cluster: installing, failing, being killed, and coming back."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.configs import config
from tests.support.fake_sts import fake_sts, says
from tests.support.stacks import ENVIRONMENT_ID
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.engine.beta9.database_user import ADMIN_SECRET
from beta9_provisioning.engine.beta9.generated_secrets import kept_secrets
from beta9_provisioning.engine.beta9.releases import (
    BETA9_NAMESPACE,
    base_releases,
    beta9_release,
    ingress_of,
)
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.helm.command import Output
from beta9_provisioning.engine.helm.helm import HelmFailed, Installed
from beta9_provisioning.engine.helm.release import Release
from beta9_simulator.cluster.behaviour import HttpFault
from beta9_simulator.cluster.certificates import server_context

if TYPE_CHECKING:
    from tests.engine.conftest import Access

OUTPUTS: dict[str, object] = {
    "bucket_name": "beta9-bucket",
    "cluster_name": "beta9-cluster",
    "database_host": "db.example.internal",
    "database_name": "beta9",
    "database_port": 5432,
    "redis_host": "redis.example.internal",
    "redis_port": 6379,
    "region": "us-east-1",
}
TEMPLATE = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: small}}
  template:
    metadata: {labels: {app: small}}
    spec: {containers: [{name: a, image: b}]}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with the chart `small`: one Deployment."""
    templates = tmp_path / "charts" / "small" / "templates"
    templates.mkdir(parents=True)
    (templates.parent / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 1.2.3\n")
    (templates.parent / "values.yaml").write_text("replicas: 1\n")
    (templates / "all.yaml").write_text(TEMPLATE)
    return tmp_path / "charts"


def small(values: Mapping[str, Any] | None = None, timeout: float = GUARD_SECONDS) -> Release:
    return Release("small", "apps", "small", "1.2.3", values or {}, timeout)


def statuses(access: Access) -> dict[str, str]:
    return {release.name: release.status for release in access.helm().releases()}


def killed_helm(access: Access, source: Path) -> None:
    """Install or upgrade `small` with a Helm that is killed while it waits."""
    before = _secrets(access)
    access.kube.server.hold("Deployment")
    child = subprocess.Popen(
        [
            *(str(access.kube.tools.helm), "upgrade", "small", str(source / "small"), "--install"),
            *("--create-namespace", "--namespace=apps", "--wait", "--set=replicas=3", "--timeout=90s"),
        ],
        env={
            "KUBECONFIG": str(access.kube.kubeconfig),
            "HOME": str(access.directory),
            "PATH": os.environ["PATH"],
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(
            lambda: _secrets(access) > before and "small" in access.kube.objects("Deployment"),
            "Helm waits for the Deployment",
        )
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    access.kube.server.release()


def _secrets(access: Access) -> int:
    return len([name for name in access.kube.objects("Secret") if name.startswith("sh.helm.release")])


def test_installs_upgrades_and_removes(access: Access, source: Path) -> None:
    helm = access.helm(source=source)
    helm.install(small())
    assert helm.releases() == [Installed("small", "apps", "small-1.2.3", 1, "deployed")]

    helm.install(small({"replicas": 2}))
    assert helm.releases()[0].revision == 2
    assert access.kube.objects("Deployment")["small"]["spec"]["replicas"] == 2

    assert helm.uninstall("small", "apps") is True
    assert helm.releases() == []
    assert "small" not in access.kube.objects("Deployment")
    assert helm.uninstall("small", "apps") is False


def test_values_leave_no_trace_on_disk(access: Access, source: Path) -> None:
    access.helm(source=source).install(small({"password": "very-secret"}))
    assert access.files() == set()
    left = [path for path in access.directory.rglob("*") if path.is_file()]
    assert not [path for path in left if b"very-secret" in path.read_bytes()]
    assert access.lines
    assert "very-secret" not in "\n".join(access.lines)


@pytest.mark.parametrize(
    "fault",
    [
        HttpFault(status=503, times=3),
        HttpFault(status=429, times=3),
        HttpFault(drop=True, times=3),
        HttpFault(drop=True, method="PATCH", path="deployments", times=2),
    ],
    ids=["503", "429", "dropped", "dropped-halfway"],
)
def test_bears_with_a_busy_api(access: Access, source: Path, fault: HttpFault) -> None:
    access.kube.server.inject(fault)
    access.helm(source=source).install(small())
    assert fault.times == 0
    assert statuses(access) == {"small": "deployed"}


def test_a_cluster_that_is_away(access: Access, source: Path) -> None:
    access.kube.server.stop()
    with pytest.raises(HelmFailed, match="install small") as caught:
        access.helm(source=source).install(small(timeout=18))
    assert "refused" in caught.value.detail
    assert caught.value.code == "helm_failed"  # by itself, not at the deadline


def test_what_never_becomes_ready_is_named(access: Access, source: Path) -> None:
    access.kube.server.hold("Deployment")
    with pytest.raises(HelmFailed) as caught:
        access.helm(source=source).install(small(timeout=17))
    assert caught.value.code == "release_timeout"
    assert "Deployment" in caught.value.detail
    assert "--namespace apps" in caught.value.remedy
    assert statuses(access) == {"small": "failed"}

    access.kube.server.release()
    access.helm(source=source).install(small())
    assert statuses(access) == {"small": "deployed"}


def test_a_hanging_api_is_left_at_the_deadline(access: Access, source: Path) -> None:
    access.kube.server.inject(HttpFault(delay=3600, times=99))
    with pytest.raises(HelmFailed) as caught:
        access.helm(source=source).install(small(timeout=2))
    assert caught.value.code == "release_timeout"


def test_a_broken_chart_fails_at_once(access: Access, source: Path) -> None:
    (source / "small" / "templates" / "all.yaml").write_text('{{ fail "no good" }}')
    with pytest.raises(HelmFailed, match="install small in apps") as caught:
        access.helm(source=source).install(small())
    assert caught.value.code == "helm_failed"
    assert "no good" in caught.value.detail
    assert len([line for line in access.lines if "no good" in line]) == 1  # it was tried once


def test_stopped_in_the_middle_and_installed_again(access: Access, source: Path) -> None:
    access.kube.server.hold("Deployment")

    def stop_halfway() -> None:
        until(lambda: "small" in access.kube.objects("Deployment"), "Helm has made the Deployment")
        access.stop.set()

    stopper = threading.Thread(target=stop_halfway)
    stopper.start()
    with pytest.raises(Stopped):
        access.helm(source=source).install(small())
    stopper.join()
    access.stop.clear()
    assert statuses(access) == {"small": "failed"}
    assert access.files() == set()

    access.kube.server.release()
    access.helm(source=source).install(small())
    assert statuses(access) == {"small": "deployed"}


def test_a_pending_install_is_left_alone_unless_nobody_holds_it(access: Access, source: Path) -> None:
    killed_helm(access, source)
    assert statuses(access) == {"small": "pending-install"}

    with pytest.raises(HelmFailed) as caught:
        access.helm(source=source).install(small())
    assert caught.value.code == "release_pending"

    access.helm(source=source).install(small(), no_live_holder=True)
    assert access.helm().releases() == [Installed("small", "apps", "small-1.2.3", 1, "deployed")]


def test_a_pending_upgrade_is_rolled_back_first(access: Access, source: Path) -> None:
    access.helm(source=source).install(small())
    killed_helm(access, source)
    assert statuses(access) == {"small": "pending-upgrade"}

    access.helm(source=source).install(small({"replicas": 2}), no_live_holder=True)
    [release] = access.helm().releases()
    assert release.status == "deployed"
    # 1 installed, 2 pending, 3 rolled back, 4 upgraded: the Deployment was never deleted.
    assert release.revision == 4
    assert access.kube.objects("Deployment")["small"]["spec"]["replicas"] == 2


def test_reads_json_between_warnings(access: Access, tmp_path: Path) -> None:
    released = '{"name": "a", "namespace": "b", "chart": "a-1", "revision": "3", "status": "deployed"}'
    helm = tmp_path / "chatty-helm"
    helm.write_text(
        f"#!/bin/sh\necho 'Warning: old [really]'\necho '[{released}]'\necho 'W1124 more [words]'\n"
    )
    helm.chmod(0o755)
    assert access.helm(binary=helm).releases() == [Installed("a", "b", "a-1", 3, "deployed")]

    helm.write_text("#!/bin/sh\necho 'Warning: nothing'\n")
    with pytest.raises(HelmFailed, match="did not print the JSON"):
        access.helm(binary=helm).releases()


def test_the_kubeconfig_is_private_and_new_for_each_call(access: Access, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    helm = tmp_path / "curious-helm"
    helm.write_text(
        f"#!/bin/sh\nstat -L -c %a $KUBECONFIG >> {seen}\ngrep -o token-. $KUBECONFIG >> {seen}\necho '[]'\n"
    )
    helm.chmod(0o755)
    numbers = itertools.count(1)
    curious = access.helm(binary=helm, kubeconfig=lambda: f"token-{next(numbers)}")
    curious.releases()
    curious.releases()
    assert seen.read_text().split() == ["600", "token-1", "600", "token-2"]
    assert access.files() == set()


def test_a_pending_release_can_be_uninstalled(access: Access, source: Path) -> None:
    killed_helm(access, source)
    assert access.helm().uninstall("small", "apps") is True
    assert access.helm().releases() == []


def test_only_one_kind_of_token_is_accepted(access: Access, source: Path) -> None:
    with pytest.raises(HelmFailed, match="install small"):
        access.helm(token="wrong", source=source).install(small(timeout=16))


def test_everything_of_an_environment_is_installed_and_removed(access: Access) -> None:
    """All releases with the stand-in charts, in parallel as far as they may, then back to nothing."""
    helm, kubernetes = access.helm(), access.kubernetes()
    cloud = cloud_of(config().cloud)
    platform = cloud.platform(config())
    reach = replace(access.cluster_access(), network_id="vpc-0123456789abcdef0")
    for first in cloud.first_releases(config(), ENVIRONMENT_ID, reach):
        helm.install(first)
    threads = [
        threading.Thread(target=helm.install, args=(each,)) for each in base_releases(config(), platform)
    ]
    for thread in threads:
        thread.start()
    generated = kept_secrets(kubernetes, BETA9_NAMESPACE)
    for thread in threads:
        thread.join()
    admin = {"username": "postgres", "password": "master"}
    release = beta9_release(config(), platform, OUTPUTS, generated)
    with kubernetes.passing_secret(BETA9_NAMESPACE, ADMIN_SECRET, admin):
        helm.install(replace(release, timeout=GUARD_SECONDS))

    assert statuses(access) == dict.fromkeys(
        ["aws-load-balancer-controller", "traefik", "cert-manager", "metrics-server", "beta9"], "deployed"
    )
    ingress = ingress_of(platform)
    assert kubernetes.load_balancer_host(ingress.namespace, ingress.service, timeout=GUARD_SECONDS)
    claims = access.kube.objects("PersistentVolumeClaim")
    assert {claim["spec"]["storageClassName"] for claim in claims.values()} == {"gp3"}
    assert len(claims) == 2
    assert set(access.kube.objects("Ingress")) == {"beta9-gateway", "beta9-gateway-grpc"}
    assert "letsencrypt" in access.kube.objects("Issuer")
    selector = access.kube.objects("Service")["beta9-gateway-grpc"]["spec"]["selector"]
    pod = access.kube.objects("Deployment")["beta9-gateway"]["spec"]["template"]
    assert selector.items() <= pod["metadata"]["labels"].items()

    kubernetes.remove_load_balancers(timeout=GUARD_SECONDS)
    for each in reversed(helm.releases()):
        helm.uninstall(each.name, each.namespace)
    kubernetes.remove_volumes(timeout=GUARD_SECONDS)
    assert helm.releases() == []
    assert access.kube.directory.leftovers() == []


def test_a_registry_of_an_authority_of_ones_own_was_told_as_pods_that_are_not_ready(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, context = server_context("127.0.0.1")
    (tmp_path / "authority.pem").write_text(pem)
    with fake_sts(context) as registry:
        registry.will(says(403, ""))
        helm = access.helm(source=f"oci://{registry.url.removeprefix('https://')}/charts")
        with pytest.raises(HelmFailed, match="a certificate was not accepted") as caught:
            helm.install(small())
        assert caught.value.code == "certificate_untrusted"
        assert "SSL_CERT_FILE" in caught.value.remedy
        assert not registry.asked
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        with pytest.raises(HelmFailed) as caught:
            helm.install(small())
        assert caught.value.code == "helm_failed"
        assert registry.asked


def test_a_cluster_behind_a_proxy_that_opens_tls_is_to_be_exempted(access: Access) -> None:
    """Its own authority is trusted there, and no other: a file of certificates would not help."""
    endpoint = access.kube.endpoint
    with fake_sts(server_context("127.0.0.1")[1]) as proxy:
        kubeconfig = access.kube.kubeconfig.read_text().replace(endpoint, proxy.url)
        with pytest.raises(HelmFailed) as caught:
            access.helm(kubeconfig=lambda: kubeconfig).install(small())
    assert caught.value.code == "certificate_untrusted"
    assert "NO_PROXY" in caught.value.remedy


def test_a_webhook_whose_certificate_comes_later_is_waited_for() -> None:
    """The cluster asks webhooks, not Helm."""
    text = 'failed calling webhook "a": Post "https://a.svc": x509: certificate signed by unknown authority'
    assert Output(1, text).passing
    assert not Output(1, text).untrusted
