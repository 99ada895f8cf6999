"""The objects of one cluster, with resource versions and the history that watches read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import Resource

Object = dict[str, Any]
ObjectName = tuple[str, str]  # namespace ("" for cluster-scoped objects) and name
TypeKey = tuple[str, str]
HISTORY = 5_000


@dataclass(frozen=True)
class Change:
    """One entry of the history. ``previous`` is None for objects that were added."""

    revision: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: TypeKey
    body: Object
    previous: Object | None


def name_of(body: Object) -> ObjectName:
    """Namespace and name of an object."""
    metadata = body["metadata"]
    return (metadata.get("namespace", ""), metadata["name"])


class ObjectStore:
    """Objects by type and name. Stored objects are never modified, only replaced, so readers need no copies.

    Not safe for threads: everything happens in the server's event loop.
    """

    def __init__(self) -> None:
        self.revision = 1
        self._objects: dict[TypeKey, dict[ObjectName, Object]] = {}
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._watchers: set[asyncio.Event] = set()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._objects.get(resource.key, {}).get((namespace, name))

    def select(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Objects of a type, sorted by namespace and name; of all namespaces if none is given."""
        found = self._objects.get(resource.key, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def put(self, resource: Resource, body: Object) -> Object:
        """Store an object under the next resource version, which is written into it."""
        self._stamp(body)
        previous = self._objects.setdefault(resource.key, {}).get(name_of(body))
        self._objects[resource.key][name_of(body)] = body
        self._record(resource, "MODIFIED" if previous else "ADDED", body, previous)
        return body

    def remove(self, resource: Resource, body: Object) -> Object:
        """Forget an object; the copy returned carries the resource version of its removal."""
        self._objects[resource.key].pop(name_of(body))
        gone = {**body, "metadata": dict(body["metadata"])}
        self._stamp(gone)
        self._record(resource, "DELETED", gone, body)
        return gone

    def changes_since(self, revision: int) -> list[Change]:
        """What happened after a resource version.

        Raises:
            ApiError: 410, the history does not reach back so far.
        """
        if self._history and revision < self._history[0].revision - 1 and len(self._history) == HISTORY:
            oldest = self._history[0].revision
            raise ApiError(410, f"too old resource version: {revision} ({oldest})")
        newer: list[Change] = []
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            newer.append(change)
        return newer[::-1]

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """An event that is set on every change, as long as the context lasts."""
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            yield event
        finally:
            self._watchers.discard(event)

    def wake_watchers(self) -> None:
        """Make watches look up, although no object changed."""
        for event in self._watchers:
            event.set()

    def _stamp(self, body: Object) -> None:
        self.revision += 1
        body["metadata"]["resourceVersion"] = str(self.revision)

    def _record(
        self,
        resource: Resource,
        kind: Literal["ADDED", "MODIFIED", "DELETED"],
        body: Object,
        previous: Object | None,
    ) -> None:
        self._history.append(Change(self.revision, kind, resource.key, body, previous))
        self.wake_watchers()
