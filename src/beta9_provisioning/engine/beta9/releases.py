"""What is installed into an environment's cluster: pinned charts, in two stages.

The base stage needs nothing but the cluster, so it can run while databases are still being created. In a
cluster that others use, too, it has only what was missing there, in one namespace of ours (ADR 24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beta9_provisioning.engine.beta9.generated_secrets import GeneratedSecrets
from beta9_provisioning.engine.beta9.platform import (
    BASE_CHARTS,
    CERT_MANAGER,
    METRICS_SERVER,
    TRAEFIK,
    Ingress,
    Platform,
    Shared,
)
from beta9_provisioning.engine.beta9.values import beta9_values, tolerations
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.schemas.configuration import EnvironmentConfig

BETA9_NAMESPACE = "beta9"
SHARED_NAMESPACE = "beta9-system"
"""Of the base charts in a cluster that others use, too."""
SHARED_NAMESPACES = (BETA9_NAMESPACE, SHARED_NAMESPACE)
SHARED_INGRESS_CLASS = "beta9"
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
    shared = platform.shared
    tolerated = {"tolerations": tolerations(config)}
    parts = dict.fromkeys(("webhook", "cainjector", "startupapicheck"), tolerated)
    cert_manager = {"crds": {"enabled": True}, **_elections(shared), **tolerated, **parts}
    every = (
        _base(TRAEFIK, "traefik", "41.5.0", {**_traefik(platform), **tolerated}, shared),
        _base(CERT_MANAGER, "cert-manager", "v1.21.2", cert_manager, shared),
        _base(METRICS_SERVER, "kube-system", "3.13.1", tolerated, shared),
    )
    ours = BASE_CHARTS if shared is None else shared.charts
    return tuple(one for one in every if one.chart in ours)


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
        ingress=ingress_of(platform, ingress_controller),
    )
    # `helm push` names a chart as its Chart.yaml does.
    return Release(
        "beta9", BETA9_NAMESPACE, "beta9", "0.1.0", values, timeout=720.0, registry_name="beta9-chart"
    )


def ingress_of(platform: Platform, ingress_controller: str = DEFAULT_INGRESS_CONTROLLER) -> Ingress:
    """Return who serves the environment's Ingresses.

    Raises:
        EngineError: `not_supported` for an unknown ingress controller.
    """
    _check_controller(ingress_controller)
    shared = platform.shared
    if shared is None:
        return Ingress(TRAEFIK, TRAEFIK, TRAEFIK)
    return shared.ingress or Ingress(SHARED_INGRESS_CLASS, SHARED_NAMESPACE, TRAEFIK)


def namespaces_of(platform: Platform) -> tuple[str, ...]:
    """Return the namespaces into which the environment installs, those that every cluster has left out."""
    if platform.shared is None:
        return (BETA9_NAMESPACE, CERT_MANAGER, TRAEFIK)
    return SHARED_NAMESPACES if platform.shared.charts else (BETA9_NAMESPACE,)


def _base(
    chart: str, namespace: str, version: str, values: Mapping[str, Any], shared: Shared | None
) -> Release:
    return Release(
        chart,
        SHARED_NAMESPACE if shared else namespace,
        chart,
        version,
        values,
        timeout=420.0,
        # Helm removes what is in a chart's `crds` with no release.
        has_crds=shared is None,
    )


def _elections(shared: Shared | None) -> dict[str, Any]:
    """Return where cert-manager elects its leaders: by default in kube-system."""
    return {"global": {"leaderElection": {"namespace": SHARED_NAMESPACE}}} if shared else {}


def _traefik(platform: Platform) -> dict[str, Any]:
    is_shared = platform.shared is not None
    name = SHARED_INGRESS_CLASS if is_shared else TRAEFIK
    values: dict[str, Any] = {
        "deployment": {"replicas": 2},
        "ingressClass": {"enabled": True, "isDefaultClass": not is_shared, "name": name},
        "service": {
            "type": "LoadBalancer",
            "annotations": dict(platform.load_balancer_annotations),
        },
    }
    if is_shared:
        # Only Ingresses of our class, where others have theirs; and no types of its own, which would stay.
        values["providers"] = {
            "kubernetesCRD": {"enabled": False},
            "kubernetesIngress": {"enabled": True, "ingressClass": name},
        }
    return values


def _check_controller(name: str) -> None:
    if name not in INGRESS_CONTROLLERS:
        raise EngineError(
            f"The ingress controller {name!r} is not supported.",
            remedy=f"Choose one of: {', '.join(INGRESS_CONTROLLERS)}.",
            code="not_supported",
        )
