"""Room on nodes: what they offer, and what the pods on them have asked for.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

_FACTORS: Mapping[str, Decimal] = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
}
_OVER = frozenset({"Succeeded", "Failed"})
_BLOCKING = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True)
class Room:
    """CPU in thousandths of a processor, and memory in MiB."""

    millicores: int
    mebibytes: int

    def __add__(self, other: Room) -> Room:
        return Room(self.millicores + other.millicores, self.mebibytes + other.mebibytes)

    def __sub__(self, other: Room) -> Room:
        return Room(self.millicores - other.millicores, self.mebibytes - other.mebibytes)

    def __str__(self) -> str:
        return f"{self.millicores}m CPU and {self.mebibytes} MiB of memory"

    def holds(self, other: Room) -> bool:
        """Return whether so much fits in."""
        return self.millicores >= other.millicores and self.mebibytes >= other.mebibytes


NOTHING = Room(0, 0)


def number(quantity: object) -> Decimal:
    """Return a quantity as a number; 0 for what is none."""
    text = str(quantity)
    unit = next((unit for unit in _FACTORS if text.endswith(unit)), "")
    try:
        return Decimal(text.removesuffix(unit)) * _FACTORS.get(unit, Decimal(1))
    except InvalidOperation:
        return Decimal(0)


def free_room(
    nodes: Iterable[Mapping[str, Any]],
    pods: Iterable[Mapping[str, Any]],
    tolerated: Iterable[Mapping[str, str]],
) -> Room:
    """Return what is free on all nodes together that take such pods: allocatable less what pods request.

    Daemons and limits do not count; nor does how the room is divided among the nodes.
    """
    taints = list(tolerated)
    usable = {
        node["metadata"]["name"]: _room(node.get("status", {}).get("allocatable"))
        for node in nodes
        if takes_pods(node, taints)
    }
    free = sum(usable.values(), NOTHING)
    for pod in pods:
        if pod["spec"].get("nodeName") in usable and pod.get("status", {}).get("phase") not in _OVER:
            free -= requested(pod["spec"])
    return free


def takes_pods(node: Mapping[str, Any], tolerated: Iterable[Mapping[str, str]]) -> bool:
    """Return whether a node is ready, and takes pods with these tolerations."""
    spec = node.get("spec", {})
    conditions = node.get("status", {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    known = {(one["key"], one.get("value", ""), one["effect"]) for one in tolerated}
    return (
        ready
        and not spec.get("unschedulable")
        and all(
            taint["effect"] not in _BLOCKING
            or (taint["key"], taint.get("value", ""), taint["effect"]) in known
            for taint in spec.get("taints") or ()
        )
    )


def requested(spec: Mapping[str, Any]) -> Room:
    """Return what the scheduler counts for a pod: its containers together, or its largest first one."""
    together = sum((_of(one) for one in spec.get("containers") or ()), NOTHING)
    firsts = [_of(one) for one in spec.get("initContainers") or ()]
    return Room(
        max([together.millicores, *(one.millicores for one in firsts)]),
        max([together.mebibytes, *(one.mebibytes for one in firsts)]),
    )


def _of(container: Mapping[str, Any]) -> Room:
    return _room((container.get("resources") or {}).get("requests"))


def _room(quantities: Mapping[str, object] | None) -> Room:
    found = quantities or {}
    return Room(int(number(found.get("cpu", 0)) * 1000), int(number(found.get("memory", 0)) / (1 << 20)))
