"""What Terraform's state says of an environment's resources, as `state pull` prints it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TAINTED = "tainted"


@dataclass(frozen=True)
class Held:
    """A managed resource in the state.

    Attributes:
        id: its id in the cloud; empty when the state has none.
        is_tainted: whether it was made, but not to its end: the next apply would replace it.
    """

    id: str
    is_tainted: bool


@dataclass(frozen=True)
class State:
    """The managed resources of a state, by their addresses."""

    resources: Mapping[str, Held]

    @property
    def tainted(self) -> tuple[str, ...]:
        """The addresses of what was made, but not to its end."""
        return tuple(address for address, held in self.resources.items() if held.is_tainted)

    @property
    def ids(self) -> dict[str, str]:
        """The ids in the cloud, by address; what has none is left out."""
        return {address: held.id for address, held in self.resources.items() if held.id}


def state_of(document: Mapping[str, Any]) -> State:
    """Return what a state says, sorted by address; an empty document is an empty state."""
    found = [
        entry
        for resource in document.get("resources") or ()
        if resource.get("mode") == "managed"
        for entry in _instances(resource)
    ]
    return State(dict(sorted(found)))


def _instances(resource: Mapping[str, Any]) -> Iterator[tuple[str, Held]]:
    module = f"{resource['module']}." if resource.get("module") else ""
    for instance in resource["instances"]:
        key = instance.get("index_key")
        index = "" if key is None else f"[{json.dumps(key, ensure_ascii=False)}]"
        id_ = (instance.get("attributes") or {}).get("id")
        yield (
            f"{module}{resource['type']}.{resource['name']}{index}",
            Held(id_ if isinstance(id_, str) else "", instance.get("status") == _TAINTED),
        )
