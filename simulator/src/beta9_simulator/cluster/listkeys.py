"""Which lists of the built-in types are merged item by item, and by what.

From the ``patchMergeKey`` and ``listMapKey`` markers in ``k8s.io/api`` (v0.34). Lists not named here are
replaced as a whole, as are all lists of custom resources, whose schemas seldom say otherwise.
"""

from __future__ import annotations

from typing import Any

_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "webhooks": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
}
_CONTAINER_PORT = ("containerPort", "protocol")
_SERVICE_PORT = ("port", "protocol")
_DEFAULTS = {"protocol": "TCP"}

ItemKey = tuple[tuple[str, Any], ...]


def list_key(field: str, items: list[Any]) -> tuple[str, ...] | None:
    """Names of the fields that identify the items of the list ``field``; None if it is replaced whole."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    names = _KEYS.get(field)
    if field == "ports":
        names = _CONTAINER_PORT if "containerPort" in items[0] else _SERVICE_PORT
    if names is None or any(name not in item and name not in _DEFAULTS for item in items for name in names):
        return None
    return names


def item_key(item: dict[str, Any], names: tuple[str, ...]) -> ItemKey:
    """The values that identify an item, with the defaults that Kubernetes fills in."""
    return tuple((name, item.get(name, _DEFAULTS.get(name))) for name in names)
