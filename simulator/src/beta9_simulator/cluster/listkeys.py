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
    names = _names(field, items)
    if names is None or any(name not in item and name not in _DEFAULTS for item in items for name in names):
        return None
    return names


def merge_key(field: str, items: list[Any]) -> str | None:
    """The field by which a strategic merge patch names items of the list; None if it is replaced whole."""
    names = _names(field, items)
    return names[0] if names and all(names[0] in item for item in items) else None


def _names(field: str, items: list[Any]) -> tuple[str, ...] | None:
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    if field == "ports":
        return _CONTAINER_PORT if "containerPort" in items[0] else _SERVICE_PORT
    return _KEYS.get(field)


def item_key(item: dict[str, Any], names: tuple[str, ...]) -> ItemKey:
    """The values that identify an item, with the defaults that Kubernetes fills in."""
    return tuple((name, item.get(name, _DEFAULTS.get(name))) for name in names)
