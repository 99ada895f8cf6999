"""What a pod needs before its containers start: bound volume claims; Secrets and ConfigMaps that exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.selectors import dig
from beta9_simulator.cluster.store import Object, ObjectStore

_CLAIMS = BUILTIN["persistentvolumeclaims"]
_SOURCES = {"secret": BUILTIN["secrets"], "configmap": BUILTIN["configmaps"]}


def has_unbound_claims(store: ObjectStore, pod: Object) -> bool:
    """Whether a volume claim of the pod is missing or not bound, so that no node may take the pod."""
    namespace = pod["metadata"]["namespace"]
    names = [dig(v, "persistentVolumeClaim.claimName") for v in pod["spec"].get("volumes") or []]
    claims = [store.get(_CLAIMS, namespace, name) for name in names if name]
    return any(claim is None or dig(claim, "status.phase") != "Bound" for claim in claims)


def missing_reference(store: ObjectStore, pod: Object) -> str:
    """The first Secret or ConfigMap, or key of one, that the pod needs and lacks; empty if there is none."""
    namespace = pod["metadata"]["namespace"]
    for kind, name, key in _references(pod["spec"]):
        body = store.get(_SOURCES[kind], namespace, name)
        if body is None:
            return f'{kind} "{name}" not found'
        if key and key not in {**(body.get("data") or {}), **(body.get("binaryData") or {})}:
            return f'{kind} "{name}" has no key "{key}"'
    return ""


def _references(spec: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Kind, name and key (or nothing) of what is required; optional references are left out."""
    for volume in spec.get("volumes") or []:
        if (source := volume.get("secret")) and not source.get("optional"):
            yield "secret", source["secretName"], ""
        if (source := volume.get("configMap")) and not source.get("optional"):
            yield "configmap", source["name"], ""
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        sources = [variable.get("valueFrom") or {} for variable in container.get("env") or []]
        for source in [*sources, *(container.get("envFrom") or [])]:
            for field, reference in source.items():
                kind = field.removesuffix("KeyRef").removesuffix("Ref").lower()
                if kind in _SOURCES and not reference.get("optional"):
                    yield kind, reference["name"], reference.get("key", "")
