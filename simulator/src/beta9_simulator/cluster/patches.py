"""The three patch formats besides server-side apply. All return new objects and keep their arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.listkeys import merge_key

_DELETE_ITEMS = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def merge_patch(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(target: Any, patch: Any) -> Any:
    """Kubernetes' strategic merge patch, as far as client-side ``kubectl apply`` and ``edit`` send it.

    Lists with a key are merged item by item; ``$patch``, ``$retainKeys`` and ``$deleteFromPrimitiveList`` are
    followed. ``$setElementOrder`` is not: the order of items stays as it was.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        if key.startswith(_DELETE_ITEMS):
            field = key.removeprefix(_DELETE_ITEMS)
            merged[field] = [item for item in merged.get(field) or [] if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = _merge_list(key, merged.get(key) or [], value)
        else:
            merged[key] = strategic_merge_patch(merged.get(key), value)
    return merged


def _merge_list(field: str, current: list[Any], patch: list[Any]) -> list[Any]:
    if field == "finalizers":
        return [*current, *(item for item in patch if item not in current)]
    items = [item for item in patch if not (isinstance(item, dict) and item.get("$patch") == "replace")]
    key = merge_key(field, [*items, *current])
    if len(items) < len(patch) or key is None:
        return copy.deepcopy(items)
    merged = list(current)
    for item in items:
        index = next((i for i, other in enumerate(merged) if other[key] == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [other for other in merged if other[key] != item[key]]
        elif index is None:
            merged.append(strategic_merge_patch({}, item))
        else:
            merged[index] = strategic_merge_patch(merged[index], item)
    return merged


def json_patch(target: Any, operations: Any) -> Any:
    """JSON patch (RFC 6902).

    Raises:
        ApiError: 400, the patch is malformed; 422, it does not fit the object or a ``test`` failed.
    """
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise ApiError(400, "a JSON patch must be a list of operations")
    document = copy.deepcopy(target)
    for operation in operations:
        apply = _OPERATIONS.get(str(operation.get("op")))
        if apply is None or not isinstance(operation.get("path"), str):
            raise ApiError(400, f"not a JSON patch operation: {operation}")
        try:
            document = apply(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ApiError(422, f"the JSON patch operation {operation} does not fit: {error!r}") from error
    return document


def _pointer(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise ValueError("a JSON pointer starts with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _child(parent: Any, part: str) -> Any:
    return parent[_index(parent, part)] if isinstance(parent, list) else parent[part]


def _index(parent: list[Any], part: str) -> int:
    if not part.isdigit() or int(part) >= len(parent):
        raise IndexError(f"there is no item {part}")
    return int(part)


def _lookup(document: Any, path: str) -> Any:
    for part in _pointer(path):
        document = _child(document, part)
    return document


def _add(document: Any, operation: dict[str, Any]) -> Any:
    return _insert(document, operation["path"], copy.deepcopy(operation["value"]))


def _insert(document: Any, path: str, value: Any) -> Any:
    parts = _pointer(path)
    if not parts:
        return value
    parent = document
    for part in parts[:-1]:
        parent = _child(parent, part)
    last = parts[-1]
    if isinstance(parent, list):
        at_end = last == "-" or last == str(len(parent))
        parent.insert(len(parent) if at_end else _index(parent, last), value)
    else:
        parent[last] = value
    return document


def _remove(document: Any, operation: dict[str, Any]) -> Any:
    *parents, last = _pointer(operation["path"])
    parent = document
    for part in parents:
        parent = _child(parent, part)
    del parent[_index(parent, last) if isinstance(parent, list) else last]
    return document


def _replace(document: Any, operation: dict[str, Any]) -> Any:
    if not operation["path"]:
        return copy.deepcopy(operation["value"])
    _remove(document, operation)
    return _add(document, operation)


def _move(document: Any, operation: dict[str, Any]) -> Any:
    value = _lookup(document, operation["from"])
    _remove(document, {"path": operation["from"]})
    return _insert(document, operation["path"], value)


def _copy(document: Any, operation: dict[str, Any]) -> Any:
    return _insert(document, operation["path"], copy.deepcopy(_lookup(document, operation["from"])))


def _test(document: Any, operation: dict[str, Any]) -> Any:
    if _lookup(document, operation["path"]) != operation["value"]:
        raise ValueError("the value differs")
    return document


_OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
