"""What is installed into an environment's cluster: pinned charts, in two stages.

The base stage needs nothing but the cluster, so it can run while databases are still being created.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beta9_provisioning.engine.beta9.generated_secrets import GeneratedSecrets
from beta9_provisioning.engine.beta9.platform import Platform
from beta9_provisioning.engine.beta9.values import beta9_values, tolerations
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.schemas.configuration import EnvironmentConfig

BETA9_NAMESPACE = "beta9"
INGRESS_CONTROLLERS = ("traefik",)
DEFAULT_INGRESS_CONTROLLER = "traefik"


def base_releases(
    config: EnvironmentConfig, platform: Platform, *, ingress_controller: str = DEFAULT_INGRESS_CONTROLLER
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
        _base("traefik", "traefik", "41.5.0", {**_traefik(platform), **tolerated}),
        _base("cert-manager", "cert-manager", "v1.21.2", cert_manager),
        _base("metrics-server", "kube-system", "3.13.1", tolerated),
    )


def beta9_release(
    config: EnvironmentConfig,
    platform: Platform,
    outputs: Mapping[str, object],
    generated: GeneratedSecrets,
    *,
    redis_password: str = "",
    ingress_controller: str = DEFAULT_INGRESS_CONTROLLER,
) -> Release:
    """Return the release of Beta9 itself. Its values hold secrets.

    While it is installed, the Secret `database_user.ADMIN_SECRET` (keys `username`, `password`) must be in
    BETA9_NAMESPACE: see `Kubernetes.passing_secret`.

    Raises:
        EngineError: `output_missing` or `not_supported`.
    """
    _check_controller(ingress_controller)
    values = beta9_values(
        config,
        outputs,
        generated,
        redis_password=redis_password,
        platform=platform,
        namespace=BETA9_NAMESPACE,
        ingress_class=ingress_controller,
    )
    # `helm push` names a chart as its Chart.yaml does.
    return Release(
        "beta9", BETA9_NAMESPACE, "beta9", "0.1.0", values, timeout=720.0, registry_name="beta9-chart"
    )


def ingress_service(ingress_controller: str = DEFAULT_INGRESS_CONTROLLER) -> tuple[str, str]:
    """Return namespace and name of the Service whose load balancer receives the environment's traffic.

    Raises:
        EngineError: `not_supported` for an unknown ingress controller.
    """
    _check_controller(ingress_controller)
    return "traefik", "traefik"


def _base(chart: str, namespace: str, version: str, values: Mapping[str, Any]) -> Release:
    return Release(chart, namespace, chart, version, values, timeout=420.0)


def _traefik(platform: Platform) -> dict[str, Any]:
    return {
        "deployment": {"replicas": 2},
        "ingressClass": {"enabled": True, "isDefaultClass": True, "name": "traefik"},
        "service": {
            "type": "LoadBalancer",
            "annotations": dict(platform.load_balancer_annotations),
        },
    }


def _check_controller(name: str) -> None:
    if name not in INGRESS_CONTROLLERS:
        raise EngineError(
            f"The ingress controller {name!r} is not supported.",
            remedy=f"Choose one of: {', '.join(INGRESS_CONTROLLERS)}.",
            code="not_supported",
        )
