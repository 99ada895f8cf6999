"""The admission by Pod Security Standards that a namespace's labels ask for.

Rules of the levels `baseline` and `restricted` of Kubernetes 1.34
(https://kubernetes.io/docs/concepts/security/pod-security-standards/), but for AppArmor, SELinux, sysctls,
`procMount` and Windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.selectors import dig
from beta9_simulator.cluster.store import Object

ENFORCE = "pod-security.kubernetes.io/enforce"
_LEVELS = ("privileged", "baseline", "restricted")
_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
_SECCOMP = ("RuntimeDefault", "Localhost")


def admit(namespace: Object, pod: Object) -> None:
    """Refuse a pod that the namespace's level does not allow.

    Raises:
        ApiError: 403, naming every violation.
    """
    level = (namespace["metadata"].get("labels") or {}).get(ENFORCE, "privileged")
    if level not in _LEVELS:
        level = "restricted"  # as the real admission takes a level that it does not know
    found = violations(pod["spec"], level)
    if found:
        name = pod["metadata"]["name"]
        why = ", ".join(found)
        raise ApiError(403, f'pods "{name}" is forbidden: violates PodSecurity "{level}:latest": {why}')


def violations(spec: dict[str, Any], level: str) -> list[str]:
    """What the level does not allow in a pod's specification."""
    if level == "privileged":
        return []
    found = list(_baseline(spec))
    if level == "restricted":
        found += _restricted(spec)
    return found


def _containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in spec.get(kind) or []]


def _baseline(spec: dict[str, Any]) -> Iterator[str]:
    yield from (f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field))
    yield from (f"hostPath volume {v['name']!r}" for v in spec.get("volumes") or [] if "hostPath" in v)
    if dig(spec, "securityContext.seccompProfile.type") == "Unconfined":
        yield "seccompProfile.type=Unconfined of the pod"
    for container in _containers(spec):
        name, context = container["name"], container.get("securityContext") or {}
        if context.get("privileged"):
            yield f"privileged=true (container {name!r})"
        if any(port.get("hostPort") for port in container.get("ports") or []):
            yield f"hostPort (container {name!r})"
        if set(dig(context, "capabilities.add") or []) - _CAPABILITIES:
            yield f"non-default capabilities (container {name!r} must not add them)"
        if dig(context, "seccompProfile.type") == "Unconfined":
            yield f"seccompProfile.type=Unconfined (container {name!r})"


def _restricted(spec: dict[str, Any]) -> Iterator[str]:
    for volume in spec.get("volumes") or []:
        if volume.keys() - {"name"} - _VOLUMES:
            yield f"restricted volume types (volume {volume['name']!r})"
    pod = spec.get("securityContext") or {}
    if pod.get("runAsUser") == 0:
        yield "runAsUser=0 of the pod"
    for container in _containers(spec):
        yield from _restricted_container(container["name"], container.get("securityContext") or {}, pod)


def _restricted_container(name: str, context: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"allowPrivilegeEscalation != false (container {name!r})"
    if "ALL" not in (dig(context, "capabilities.drop") or []):
        yield f'unrestricted capabilities (container {name!r} must drop "ALL")'
    if set(dig(context, "capabilities.add") or []) - {"NET_BIND_SERVICE"}:
        yield f"unrestricted capabilities (container {name!r} may add NET_BIND_SERVICE only)"
    if not context.get("runAsNonRoot", pod.get("runAsNonRoot")):
        yield f"runAsNonRoot != true (pod or container {name!r})"
    if context.get("runAsUser") == 0:
        yield f"runAsUser=0 (container {name!r})"
    profile = dig(context, "seccompProfile.type") or dig(pod, "seccompProfile.type")
    if profile not in _SECCOMP:
        yield f"seccompProfile (pod or container {name!r} must set RuntimeDefault or Localhost)"
