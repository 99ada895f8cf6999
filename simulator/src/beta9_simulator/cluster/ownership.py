"""Who owns which field of an object: ``metadata.managedFields`` and the merging of server-side apply.

A set of fields is a set of paths; a path is a tuple of elements as ``fieldsV1`` spells them: ``f:name`` for a
field, ``k:{"name":"x"}`` for an item of a keyed list, ``.`` for the item itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.listkeys import ItemKey, item_key, list_key

Path = tuple[str, ...]
_ITSELF = "."
_UNOWNED_METADATA = {
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
}


@dataclass(frozen=True)
class Writer:
    """One entry of ``managedFields``: ``operation`` is ``Apply`` or ``Update``."""

    manager: str
    operation: str
    subresource: str = ""


@dataclass(frozen=True)
class Shape:
    """How lists merge: those of custom resources are replaced as a whole (metadata aside)."""

    custom: bool

    def key(self, field: str, items: list[Any]) -> tuple[str, ...] | None:
        """See :func:`list_key`."""
        return None if self.custom and field != "ownerReferences" else list_key(field, items)


def owned_paths(body: dict[str, Any], shape: Shape) -> frozenset[Path]:
    """The leaves of an object, without what nobody owns (its identity and the server's bookkeeping)."""
    content = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
    metadata = content.get("metadata")
    if isinstance(metadata, dict):
        content["metadata"] = {k: v for k, v in metadata.items() if k not in _UNOWNED_METADATA}
        if not content["metadata"]:
            del content["metadata"]
    return frozenset(path for path, _ in _leaves(content, shape))


def _leaves(value: Any, shape: Shape, field: str = "", path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for name, child in value.items():
            yield from _leaves(child, shape, name, (*path, f"f:{name}"))
        return
    names = shape.key(field, value) if isinstance(value, list) else None
    if names is None:
        yield path, value
        return
    for item in value:
        here = (*path, _spell(item_key(item, names)))
        yield (*here, _ITSELF), None
        for name, child in item.items():
            yield from _leaves(child, shape, name, (*here, f"f:{name}"))


def _spell(key: ItemKey) -> str:
    return "k:" + json.dumps(dict(key), separators=(",", ":"))


def managers(body: dict[str, Any]) -> dict[Writer, frozenset[Path]]:
    """Who owns what, read from ``managedFields``."""
    entries = body.get("metadata", {}).get("managedFields") or []
    return {_writer(entry): frozenset(_parse(entry.get("fieldsV1") or {})) for entry in entries}


def _writer(entry: dict[str, Any]) -> Writer:
    return Writer(entry["manager"], entry["operation"], entry.get("subresource", ""))


def _parse(tree: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    for element, below in tree.items():
        if below:
            yield from _parse(below, (*path, element))
        else:
            yield (*path, element)


def write_managers(
    body: dict[str, Any],
    owners: dict[Writer, frozenset[Path]],
    writer: Writer,
    api_version: str,
    time: str,
) -> None:
    """Record who owns what in the object; ``writer`` wrote at ``time``, the others keep their times."""
    metadata = body.setdefault("metadata", {})
    before = managers(body)
    times = {_writer(entry): entry["time"] for entry in metadata.get("managedFields") or []}
    metadata["managedFields"] = [
        {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": api_version,
            "time": times[owner] if owner != writer or paths == before.get(owner) else time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(paths),
            **({"subresource": owner.subresource} if owner.subresource else {}),
        }
        for owner, paths in owners.items()
        if paths
    ]


def _tree(paths: Iterable[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
    return root


def owners_after_update(
    old: dict[str, Any] | None, new: dict[str, Any], writer: Writer, shape: Shape
) -> dict[Writer, frozenset[Path]]:
    """Owners after a plain write: the writer gets the fields it changed, and the others lose them.

    ``new`` carries the owners from before in its ``managedFields``.
    """
    before = dict(_leaves(old, shape)) if old else {}
    after = dict(_leaves(new, shape))
    present = owned_paths(new, shape)
    changed = {path for path in present if path not in before or before[path] != after[path]}
    owners = {owner: (paths & present) - changed for owner, paths in managers(new).items()}
    owners[writer] = frozenset(owners.get(writer, frozenset()) | changed)
    return owners


def apply_configuration(
    live: dict[str, Any],
    config: dict[str, Any],
    writer: Writer,
    shape: Shape,
    *,
    force: bool,
    yielding: frozenset[Path] = frozenset(),
) -> tuple[dict[str, Any], dict[Writer, frozenset[Path]]]:
    """Server-side apply: the merged object and the owners of its fields.

    Fields that the writer applied before and now leaves out are dropped unless somebody else owns them too.
    Fields in ``yielding`` are taken from others without a conflict.

    Raises:
        ApiError: 409, another manager owns a field with a different value and ``force`` is false.
    """
    owners = managers(live)
    wanted = owned_paths(config, shape)
    contested = _contested(live, config, owners, writer, shape)
    refused = [(owner, path) for owner, path in contested if path not in yielding]
    if refused and not force:
        raise _conflict(refused)
    lost = {path for _, path in contested}
    dropped = owners.get(writer, frozenset()) - wanted
    owners = {owner: paths - lost for owner, paths in owners.items()}
    owners[writer] = wanted
    merged = _merge(live, config, shape)
    for path in sorted(dropped, key=lambda p: (-len(p), p)):
        if not any(path in paths for paths in owners.values()):
            _drop(merged, path)
    return merged, owners


def _contested(
    live: dict[str, Any],
    config: dict[str, Any],
    owners: dict[Writer, frozenset[Path]],
    writer: Writer,
    shape: Shape,
) -> list[tuple[Writer, Path]]:
    is_now = dict(_leaves(live, shape))
    return [
        (owner, path)
        for path, value in _leaves(config, shape)
        if path in is_now and is_now[path] != value
        for owner, paths in owners.items()
        if owner != writer and path in paths
    ]


def _conflict(contested: list[tuple[Writer, Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{owner.manager}"',
            "field": _dotted(path),
        }
        for owner, path in contested
    ]
    count = "1 conflict" if len(causes) == 1 else f"{len(causes)} conflicts"
    where = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return ApiError(409, f"Apply failed with {count}: {where}", details={"causes": causes})


def _dotted(path: Path) -> str:
    """``.spec.containers[name="app"].image``, as kubectl shows it."""
    text = ""
    for element in path:
        if element.startswith("k:"):
            key = json.loads(element[2:])
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in key.items()) + "]"
        elif element != _ITSELF:
            text += f".{element[2:]}"
    return text


def _merge(live: Any, config: Any, shape: Shape, field: str = "") -> Any:
    if isinstance(config, dict) and isinstance(live, dict):
        merged = dict(live)
        for name, value in config.items():
            merged[name] = _merge(live.get(name), value, shape, name)
        return merged
    if isinstance(config, list) and isinstance(live, list):
        names = shape.key(field, [*config, *live])
        if names is not None:
            wanted = {item_key(item, names): item for item in config}
            present = {item_key(item, names) for item in live}
            kept = [_merge(item, wanted.get(item_key(item, names), {}), shape) for item in live]
            return kept + [copy.deepcopy(item) for key, item in wanted.items() if key not in present]
    return copy.deepcopy(config)


def _drop(body: dict[str, Any], path: Path) -> None:
    """Remove what the path names, and the maps that this empties."""
    element, rest = path[0], path[1:]
    name = element[2:]
    child = body.get(name)
    if not rest:
        body.pop(name, None)
    elif rest[0].startswith("k:") and isinstance(child, list):
        body[name] = _drop_from_list(child, json.loads(rest[0][2:]), rest[1:])
        if not body[name]:
            del body[name]
    elif isinstance(child, dict):
        child = copy.deepcopy(child)
        _drop(child, rest)
        body[name] = child
        if not child:
            del body[name]


def _drop_from_list(items: list[Any], key: dict[str, Any], rest: Path) -> list[Any]:
    kept = []
    for item in items:
        if item_key(item, tuple(key)) != tuple(key.items()):
            kept.append(item)
        elif rest and rest[0] != _ITSELF:
            item = copy.deepcopy(item)
            _drop(item, rest)
            kept.append(item)
    return kept
