"""What is installed into an environment's cluster: pinned charts, in two stages.

The base stage needs nothing but the cluster, so it can run while databases are still being created.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from beta9_provisioning.engine.beta9 import database_user as beta9_database
from beta9_provisioning.engine.beta9.generated_secrets import GeneratedSecrets, kept_secrets
from beta9_provisioning.engine.beta9.values import beta9_values, tolerations
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.schemas.configuration import EnvironmentConfig

__all__ = [
    "ADMIN_SECRET",
    "BETA9_NAMESPACE",
    "GeneratedSecrets",
    "Release",
    "Stage",
    "base_releases",
    "beta9_release",
    "chart_ref",
    "ingress_service",
    "kept_secrets",
]

ADMIN_SECRET = beta9_database.ADMIN_SECRET
BETA9_NAMESPACE = "beta9"
INGRESS_CONTROLLERS = ("traefik",)
DEFAULT_INGRESS_CONTROLLER = "traefik"
# `helm push` names a chart as its Chart.yaml does.
_NAMES_IN_REGISTRIES = {"beta9": "beta9-chart"}


class Stage(StrEnum):
    """When a release can be installed: `base` as soon as there are nodes, `app` when all outputs exist."""

    BASE = "base"
    APP = "app"


@dataclass(frozen=True)
class Release:
    """A chart and the values to install it with, under a name, in a namespace.

    Attributes:
        timeout: seconds until all its objects must be ready; less than the 14 minutes for which a cluster's
            token may be used.
    """

    name: str
    namespace: str
    chart: str
    version: str
    values: Mapping[str, Any]
    timeout: float
    stage: Stage

    def __repr__(self) -> str:
        return (
            f"Release({self.name!r}, {self.namespace!r}, {self.chart!r}, {self.version!r}, values=<secret>)"
        )


def base_releases(
    config: EnvironmentConfig, *, ingress_controller: str = DEFAULT_INGRESS_CONTROLLER
) -> tuple[Release, ...]:
    """Return the releases of the base stage; they do not depend on each other.

    Raises:
        EngineError: `not_supported` for an unknown ingress controller.
    """
    _check_controller(ingress_controller)
    tolerated = {"tolerations": tolerations(config)}
    parts = dict.fromkeys(("webhook", "cainjector", "startupapicheck"), tolerated)
    cert_manager = {"crds": {"enabled": True}, **tolerated, **parts}
    return (
        _base("traefik", "traefik", "41.5.0", {**_traefik(), **tolerated}),
        _base("cert-manager", "cert-manager", "v1.21.2", cert_manager),
        _base("metrics-server", "kube-system", "3.13.1", tolerated),
    )


def beta9_release(
    config: EnvironmentConfig,
    outputs: Mapping[str, object],
    generated: GeneratedSecrets,
    *,
    ingress_controller: str = DEFAULT_INGRESS_CONTROLLER,
) -> Release:
    """Return the release of Beta9 itself. Its values hold secrets.

    While it is installed, the Secret ADMIN_SECRET (keys `username`, `password`) must be in BETA9_NAMESPACE:
    see `Kubernetes.passing_secret`.

    Raises:
        EngineError: `output_missing` or `not_supported`.
    """
    _check_controller(ingress_controller)
    values = beta9_values(
        config, outputs, generated, namespace=BETA9_NAMESPACE, ingress_class=ingress_controller
    )
    return Release("beta9", BETA9_NAMESPACE, "beta9", "0.1.0", values, timeout=720.0, stage=Stage.APP)


def chart_ref(source: str, release: Release) -> list[str]:
    """Return Helm's arguments that name the release's chart.

    `source` is `oci://...`, a registry prefix to which the chart's own name is added, or a directory that
    holds one directory per chart.
    """
    if source.startswith("oci://"):
        name = _NAMES_IN_REGISTRIES.get(release.chart, release.chart)
        return [f"{source.rstrip('/')}/{name}", "--version", release.version]
    return [f"{source.rstrip('/')}/{release.chart}"]


def ingress_service(ingress_controller: str = DEFAULT_INGRESS_CONTROLLER) -> tuple[str, str]:
    """Return namespace and name of the Service whose load balancer receives the environment's traffic.

    Raises:
        EngineError: `not_supported` for an unknown ingress controller.
    """
    _check_controller(ingress_controller)
    return "traefik", "traefik"


def _base(chart: str, namespace: str, version: str, values: Mapping[str, Any]) -> Release:
    return Release(chart, namespace, chart, version, values, timeout=420.0, stage=Stage.BASE)


def _traefik() -> dict[str, Any]:
    return {
        "deployment": {"replicas": 2},
        "ingressClass": {"enabled": True, "isDefaultClass": True, "name": "traefik"},
        "service": {
            "type": "LoadBalancer",
            # A network load balancer passes TLS and HTTP/2 through; the classic one, the default, is legacy.
            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"},
        },
    }


def _check_controller(name: str) -> None:
    if name not in INGRESS_CONTROLLERS:
        raise EngineError(
            f"The ingress controller {name!r} is not supported.",
            remedy=f"Choose one of: {', '.join(INGRESS_CONTROLLERS)}.",
            code="not_supported",
        )
