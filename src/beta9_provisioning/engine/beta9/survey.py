"""What a cluster of the user's has of what Beta9 needs, and what is in the way: looked at, and not changed.

What is there is used and left as it is, what is missing is installed, and what is there but does not work is
a problem (ADR 24).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from beta9_provisioning.engine.beta9.platform import (
    CERT_MANAGER,
    METRICS_SERVER,
    TRAEFIK,
    Ingress,
    Shared,
)
from beta9_provisioning.engine.beta9.releases import SHARED_NAMESPACES
from beta9_provisioning.engine.beta9.values import (
    NGINX_CONTROLLER,
    TRAEFIK_CONTROLLER,
    WORKER_MEBIBYTES,
    WORKER_MILLICORES,
    tolerations,
)
from beta9_provisioning.engine.kubernetes.kinds import (
    API_SERVICE,
    DEFINITION,
    DEPLOYMENT,
    INGRESS_CLASS,
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
)
from beta9_provisioning.engine.kubernetes.kubernetes import is_owned
from beta9_provisioning.engine.kubernetes.quantities import Room, free_room
from beta9_provisioning.engine.tool_ports import KubernetesPort
from beta9_provisioning.schemas.configuration import EnvironmentConfig

NAME_LABEL = "app.kubernetes.io/name"
# By what an IngressClass says of its controller: how the charts of such controllers label their Services.
_CONTROLLERS = {TRAEFIK_CONTROLLER: "traefik", NGINX_CONTROLLER: "ingress-nginx"}
_CERTIFICATES = "certificates.cert-manager.io"
_METRICS = "v1beta1.metrics.k8s.io"
# Requests of the pods that are always there: metrics-server's of its chart (3.13.1), and those of the job
# that makes the database's user. The other charts of ours ask for nothing: the rest is for them.
_ALWAYS = Room(100 + 50 + 850, 200 + 64 + 1784)


@dataclass(frozen=True)
class Problem:
    """What is in the way, and what its owner can do; both are sentences."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}"


@dataclass
class Survey:
    """What was found."""

    shared: Shared = field(default_factory=lambda: Shared(frozenset()))
    problems: list[Problem] = field(default_factory=list)


def look_around(kubernetes: KubernetesPort, config: EnvironmentConfig, environment_id: str) -> Survey:
    """Look at the cluster.

    Raises:
        ClusterError: the cluster failed, or does not let the role look.
        Stopped: the stop event was set.
    """
    survey = Survey()
    survey.problems += _namespaces(kubernetes, environment_id)
    survey.problems += _room(kubernetes, config)
    charts = set()
    api_services = kubernetes.objects(API_SERVICE)
    survey.problems += _away(api_services)
    if all(one["metadata"]["name"] != _METRICS for one in api_services):
        charts.add(METRICS_SERVER)
    if kubernetes.find(DEFINITION, _CERTIFICATES) is None:
        charts.add(CERT_MANAGER)
    elif not has_ready(kubernetes, CERT_MANAGER):
        survey.problems.append(
            Problem(
                "cert-manager's types are in the cluster, and no Deployment of it is available.",
                "Mend it; or, if nobody needs it, remove the CustomResourceDefinitions of cert-manager.io, "
                "and Beta9 gets one of its own.",
            )
        )
    ingress = _ingress(kubernetes, survey.problems)
    if ingress is None:
        charts.add(TRAEFIK)
    survey.shared = Shared(frozenset(charts), ingress)
    return survey


def has_ready(kubernetes: KubernetesPort, name: str) -> bool:
    """Return whether a Deployment of that name, by its label or its own, has a pod that is available."""
    return any(
        name in ((one["metadata"].get("labels") or {}).get(NAME_LABEL), one["metadata"]["name"])
        and one.get("status", {}).get("availableReplicas")
        for one in kubernetes.objects(DEPLOYMENT)
    )


def _namespaces(kubernetes: KubernetesPort, environment_id: str) -> Iterator[Problem]:
    for name in SHARED_NAMESPACES:
        found = kubernetes.find(NAMESPACE, name)
        if found is None:
            continue
        if not is_owned(found, environment_id):
            yield Problem(
                f"The namespace {name} is in the cluster already, and is not this environment's.",
                "A cluster takes one environment: delete the other one, or choose another cluster; or remove "
                "the namespace if nobody needs what is in it.",
            )
        elif "deletionTimestamp" in found["metadata"]:
            yield Problem(f"The namespace {name} is being deleted.", "Wait until it is gone.")


def _room(kubernetes: KubernetesPort, config: EnvironmentConfig) -> Iterator[Problem]:
    workers = max(1, config.beta9.workers.min_workers)
    wanted = _ALWAYS + Room(workers * WORKER_MILLICORES, workers * WORKER_MEBIBYTES)
    free = free_room(kubernetes.objects(NODE), kubernetes.objects(POD), tolerations(config))
    if not free.holds(wanted):
        yield Problem(
            f"The nodes have {free} free, and Beta9 needs {wanted} for itself and {workers} workers.",
            "Add nodes. Counted are nodes that are ready and whose taints cluster.node_taints names: what "
            "they can allocate, less what the pods on them request.",
        )


def _away(api_services: list[dict[str, Any]]) -> Iterator[Problem]:
    """Namespaces cannot end while the cluster cannot tell what is in them."""
    for one in api_services:
        conditions = one.get("status", {}).get("conditions") or ()
        if any(each["type"] == "Available" and each["status"] == "False" for each in conditions):
            name = one["metadata"]["name"]
            yield Problem(
                f"The APIService {name} is not available, and no namespace can be removed meanwhile.",
                f"Mend what serves it, or remove it: kubectl describe apiservice {name}.",
            )


def _ingress(kubernetes: KubernetesPort, problems: list[Problem]) -> Ingress | None:
    """Return the controller that was found; None without one that knows how to speak to the gateway."""
    known = [
        (one["metadata"]["name"], one["spec"].get("controller", ""))
        for one in kubernetes.objects(INGRESS_CLASS)
        if one["spec"].get("controller") in _CONTROLLERS
    ]
    if not known:
        return None
    services = [one for one in kubernetes.objects(SERVICE) if one["spec"].get("type") == "LoadBalancer"]
    # In the order in which they are looked for: Traefik is what Beta9 brings where there is none.
    for class_name, controller in sorted(known, key=lambda one: (one[1] != TRAEFIK_CONTROLLER, one)):
        for service in services:
            if _serves(service, _CONTROLLERS[controller]):
                metadata = service["metadata"]
                return Ingress(class_name, metadata["namespace"], metadata["name"], controller)
    names = ", ".join(name for name, _ in known)
    problems.append(
        Problem(
            f"There is an ingress controller (class {names}), and no Service of it has a load balancer.",
            "Give it a Service of type LoadBalancer with the label app.kubernetes.io/name of its chart; or, "
            "if nobody needs it, remove its IngressClass, and Beta9 gets one of its own.",
        )
    )
    return None


def _serves(service: Mapping[str, Any], name: str) -> bool:
    labelled = (service["metadata"].get("labels") or {}).get(NAME_LABEL) == name
    balancer = service.get("status", {}).get("loadBalancer") or {}
    return labelled and any(one.get("hostname") or one.get("ip") for one in balancer.get("ingress") or ())
