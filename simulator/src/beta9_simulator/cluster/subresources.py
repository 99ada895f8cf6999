"""Requests that are no plain reads or writes: logs, evictions, tokens, scales, questions about oneself."""

from __future__ import annotations

import copy
import uuid
from typing import Any

from aiohttp import web

from beta9_simulator.cluster.calls import Call
from beta9_simulator.cluster.cluster import timestamp
from beta9_simulator.cluster.errors import ApiError, refusing_wrong_types
from beta9_simulator.cluster.patches import merge_patch
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.selectors import dig, selects
from beta9_simulator.cluster.store import Object


def logs(call: Call) -> web.Response:
    """The log of a pod: containers do not run here, so it only says so."""
    _current(call)
    return web.Response(text="simulated pod: its containers do not run, so they write nothing\n")


def evict(call: Call) -> web.Response:
    """Delete a pod unless a PodDisruptionBudget forbids it."""
    pod = _current(call)
    labels = pod["metadata"].get("labels") or {}
    budgets = [
        budget
        for budget in call.cluster.store.select(BUILTIN["poddisruptionbudgets"], call.target.namespace)
        if selects(budget["spec"].get("selector"), labels)
    ]
    if len(budgets) > 1:
        why = "This pod has more than one PodDisruptionBudget, which eviction does not support."
        raise ApiError(500, why)
    for budget in budgets:
        if not dig(budget, "status.disruptionsAllowed"):
            raise ApiError(
                429,
                "Cannot evict pod as it would violate the pod's disruption budget.",
                details={"causes": [{"reason": "DisruptionBudget", "message": budget["metadata"]["name"]}]},
            )
    if not call.dry_run:
        call.cluster.delete(call.target.resource, call.target.namespace, call.target.name)
    success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return web.json_response(success, status=201)


def token(call: Call) -> web.Response:
    """A token for a service account, which no API accepts."""
    _current(call)
    status = {"token": f"simulated.{uuid.uuid4().hex}", "expirationTimestamp": timestamp()}
    kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
    return web.json_response({**kind, "metadata": {}, "spec": {}, "status": status}, status=201)


def review(call: Call) -> web.Response:
    """Answer what one may do (everything) or who one is."""
    body = call.body if isinstance(call.body, dict) else {}
    kind = call.target.resource.kind
    status: dict[str, Any] = {"allowed": True, "reason": "simulated clusters allow everything"}
    if kind == "SelfSubjectReview":
        groups = ["system:masters", "system:authenticated"]
        status = {"userInfo": {"username": call.username, "groups": groups}}
    shown = {**body, "kind": kind, "apiVersion": call.target.resource.group_version, "status": status}
    return web.json_response(shown, status=201)


def get_scale(call: Call) -> web.Response:
    """How many replicas there are and should be."""
    return web.json_response(_scale(_current(call)))


def put_scale(call: Call) -> web.Response:
    """Change how many replicas there should be, by PUT or merge patch."""
    current = _current(call)
    with refusing_wrong_types("Scale"):
        wanted = call.body if call.request.method == "PUT" else merge_patch(_scale(current), call.body)
        replicas = int(wanted["spec"].get("replicas", 0))
    if replicas < 0:
        raise ApiError(422, f"spec.replicas: Invalid value: {replicas}: must not be negative")
    body = copy.deepcopy(current)
    body["spec"]["replicas"] = replicas
    return web.json_response(
        _scale(call.cluster.replace(call.target.resource, current, body, dry_run=call.dry_run))
    )


def _current(call: Call) -> Object:
    return call.cluster.require(call.target.resource, call.target.namespace, call.target.name)


def _scale(body: Object) -> dict[str, Any]:
    labels = dig(body, "spec.selector.matchLabels") or {}
    keys = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: body["metadata"][key] for key in keys},
        "spec": {"replicas": body["spec"].get("replicas", 1)},
        "status": {
            "replicas": dig(body, "status.replicas") or 0,
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }
