"""Create, update, patch and delete, as requests ask for them: dry runs, field managers, preconditions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from beta9_simulator.cluster import errors
from beta9_simulator.cluster.calls import Call
from beta9_simulator.cluster.cluster import timestamp
from beta9_simulator.cluster.errors import ApiError, refusing_wrong_types
from beta9_simulator.cluster.ownership import (
    Path,
    apply_configuration,
    owned_paths,
    owners_after_update,
    write_managers,
)
from beta9_simulator.cluster.patches import json_patch, merge_patch, strategic_merge_patch
from beta9_simulator.cluster.store import Object, name_of
from beta9_simulator.cluster.tables import present_list
from beta9_simulator.cluster.validation import check_shape

APPLY = "application/apply-patch+yaml"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_STRATEGIC = "application/strategic-merge-patch+json"
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge_patch,
    _STRATEGIC: strategic_merge_patch,
}


def create(call: Call) -> web.Response:
    """POST of a new object to its collection."""
    target = call.target
    check_shape(target.resource, call.body)
    with refusing_wrong_types(target.resource.kind):
        body = copy.deepcopy(call.body)
        body.setdefault("metadata", {}).pop("managedFields", None)
        writer = call.writer("Update")
        owners = owners_after_update(None, body, writer, call.shape)
        write_managers(body, owners, writer, target.resource.group_version, timestamp())
    created = call.cluster.insert(target.resource, target.namespace, body, dry_run=call.dry_run)
    return call.answer(created, 201)


def update(call: Call) -> web.Response:
    """PUT of a whole object, or of its status or finalizers."""
    target = call.target
    current = call.cluster.require(target.resource, target.namespace, target.name)
    check_shape(target.resource, call.body)
    return call.answer(_write(call, current, call.body))


def patch(call: Call) -> web.Response:
    """PATCH in any of the four formats; server-side apply creates what is not there."""
    target, content_type = call.target, call.request.content_type
    if content_type == APPLY:
        return _apply(call)
    function = _PATCHES.get(content_type)
    if function is None or (content_type == _STRATEGIC and target.resource.custom):
        known = ", ".join([*_PATCHES, APPLY])
        raise ApiError(415, f"{target.resource.label} cannot be patched with {content_type}; known: {known}")
    current = call.cluster.require(target.resource, target.namespace, target.name)
    with refusing_wrong_types(target.resource.kind):
        body = {**function(current, call.body), "apiVersion": target.resource.group_version}
    check_shape(target.resource, body)
    return call.answer(_write(call, current, body))


def _write(call: Call, current: Object, body: Object) -> Object:
    target = call.target
    with refusing_wrong_types(target.resource.kind):
        wanted = copy.deepcopy(body)
        metadata = wanted.setdefault("metadata", {})
        if metadata.get("name", target.name) != target.name:
            raise ApiError(
                400, f"the name of the object ({metadata['name']}) does not match that of the path"
            )
        new = _limited_to_subresource(call, current, wanted)
        if not new["metadata"].get("managedFields"):
            new["metadata"]["managedFields"] = current["metadata"].get("managedFields") or []
        writer = call.writer("Update")
        owners = owners_after_update(current, new, writer, call.shape)
        write_managers(new, owners, writer, target.resource.group_version, timestamp())
    return call.cluster.replace(target.resource, current, new, dry_run=call.dry_run)


def _limited_to_subresource(call: Call, current: Object, body: Object) -> Object:
    """A write to the status changes nothing else, and a write to the object does not change its status."""
    new = body
    if call.target.subresource == "status":
        new = copy.deepcopy(current)
        new["status"] = body.get("status") or {}
        if version := body["metadata"].get("resourceVersion"):
            new["metadata"]["resourceVersion"] = version
    elif "status" in call.target.resource.subresources:
        new.pop("status", None)
        if "status" in current:
            new["status"] = copy.deepcopy(current["status"])
    return new


def _apply(call: Call) -> web.Response:
    target, query = call.target, call.request.query
    if not query.get("fieldManager"):
        raise ApiError(400, "fieldManager: Required value: is required for apply patch")
    check_shape(target.resource, call.body)
    writer, version = call.writer("Apply"), target.resource.group_version
    current = call.cluster.store.get(target.resource, target.namespace, target.name)
    if current is None and target.subresource:
        raise errors.not_found(target.resource, target.name)
    with refusing_wrong_types(target.resource.kind):
        config = copy.deepcopy(call.body)
        metadata = config.setdefault("metadata", {})
        metadata.setdefault("name", target.name)
        if metadata["name"] != target.name:
            raise ApiError(
                400, f"the name of the object ({metadata['name']}) does not match that of the path"
            )
        for field in ("managedFields", "creationTimestamp"):
            metadata.pop(field, None)
        if current is None:
            config.pop("status", None)
            owners = {writer: owned_paths(config, call.shape)}
            new = config
        else:
            force = query.get("force") == "true"
            if target.subresource != "status":
                config.pop("status", None)
            yielding = _applied_by_client(call, current) if writer.manager == "kubectl" else frozenset()
            new, owners = apply_configuration(
                current, config, writer, call.shape, force=force, yielding=yielding
            )
            new = _limited_to_subresource(call, current, copy.deepcopy(new))
        write_managers(new, owners, writer, version, timestamp())
    if current is None:
        created = call.cluster.insert(target.resource, target.namespace, new, dry_run=call.dry_run)
        return call.answer(created, 201)
    return call.answer(call.cluster.replace(target.resource, current, new, dry_run=call.dry_run))


def _applied_by_client(call: Call, current: Object) -> frozenset[Path]:
    """What kubectl set before it moved to server-side apply; the real server lets it have that back."""
    last = (current["metadata"].get("annotations") or {}).get(_LAST_APPLIED)
    return owned_paths(json.loads(last), call.shape) if last else frozenset()


def delete(call: Call) -> web.Response:
    """DELETE of one object: a ``Status`` if it is gone, the object if something holds it."""
    target = call.target
    current = call.cluster.require(target.resource, target.namespace, target.name)
    _check_preconditions(call, current)
    if call.dry_run:
        return call.answer(current)
    body = call.cluster.delete(target.resource, target.namespace, target.name, _propagation(call))
    if call.cluster.store.get(target.resource, *name_of(body)) is not None:
        return call.answer(body)
    details = {"name": target.name, "group": target.resource.group, "kind": target.resource.plural}
    details["uid"] = body["metadata"]["uid"]
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return web.json_response(status)


def delete_collection(call: Call) -> web.Response:
    """DELETE of everything in a collection that the selectors match."""
    target = call.target
    found = [
        body for body in call.cluster.store.select(target.resource, target.namespace) if call.selects(body)
    ]
    for body in found:
        place = name_of(body)
        if not call.dry_run and call.cluster.store.get(target.resource, *place) is not None:
            call.cluster.delete(target.resource, *place, _propagation(call))
    metadata = {"resourceVersion": str(call.cluster.store.revision)}
    return web.json_response(present_list(target.resource, found, metadata, call.accept))


def _options(call: Call) -> dict[str, Any]:
    if not isinstance(call.body, dict | None):
        raise ApiError(400, "the body of a deletion must be DeleteOptions")
    return call.body or {}


def _propagation(call: Call) -> str:
    options = _options(call)
    if options.get("orphanDependents"):
        return "Orphan"
    policy = call.request.query.get("propagationPolicy") or options.get("propagationPolicy")
    return str(policy or "Background")


def _check_preconditions(call: Call, current: Object) -> None:
    wanted = _options(call).get("preconditions") or {}
    for field, value in wanted.items() if isinstance(wanted, dict) else ():
        if value and current["metadata"].get(field) != value:
            why = f"the {field} in the precondition ({value}) does not match the object's"
            raise errors.conflict(call.target.resource, call.target.name, why)
