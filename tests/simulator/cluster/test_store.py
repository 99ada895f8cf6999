from __future__ import annotations

from typing import Any

import pytest

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.store import HISTORY, ObjectStore

MAPS, SECRETS = BUILTIN["configmaps"], BUILTIN["secrets"]


def body(name: str, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **fields}


def test_every_write_gets_a_version_of_its_own() -> None:
    store = ObjectStore()
    first = store.put(MAPS, body("a"))["metadata"]["resourceVersion"]
    second = store.put(MAPS, body("a", data={"x": "y"}))["metadata"]["resourceVersion"]
    gone = store.remove(MAPS, body("a"))["metadata"]["resourceVersion"]
    assert int(first) < int(second) < int(gone) == store.revision


def test_objects_are_listed_by_name_and_namespace() -> None:
    store = ObjectStore()
    for name, namespace in (("b", "x"), ("a", "y"), ("a", "x")):
        store.put(MAPS, body(name, namespace))
    store.put(SECRETS, body("s"))
    places = [(b["metadata"]["namespace"], b["metadata"]["name"]) for b in store.select(MAPS)]
    assert places == [("x", "a"), ("x", "b"), ("y", "a")]
    assert [b["metadata"]["name"] for b in store.select(MAPS, "y")] == ["a"]
    assert store.get(MAPS, "x", "nothing") is None


def test_the_history_tells_what_happened_since() -> None:
    store = ObjectStore()
    since = store.revision
    store.put(MAPS, body("a"))
    store.put(MAPS, body("a", data={}))
    store.remove(MAPS, body("a"))
    changes = store.changes_since(since)
    assert [change.type for change in changes] == ["ADDED", "MODIFIED", "DELETED"]
    assert changes[0].previous is None
    assert changes[1].previous is changes[0].body
    assert store.changes_since(store.revision) == []


def test_a_version_too_old_for_the_history_is_refused() -> None:
    store = ObjectStore()
    for number in range(HISTORY + 10):
        store.put(MAPS, body(f"m{number % 3}"))
    with pytest.raises(ApiError, match="too old resource version") as refused:
        store.changes_since(2)
    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    assert len(store.changes_since(store.revision - 5)) == 5


def test_watchers_are_woken_until_they_leave() -> None:
    store = ObjectStore()
    with store.watching() as changed:
        store.put(MAPS, body("a"))
        assert changed.is_set()
        changed.clear()
    store.put(MAPS, body("b"))
    assert not changed.is_set()
