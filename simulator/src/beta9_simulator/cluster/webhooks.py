"""Admission webhooks, as far as their being there goes: nothing is sent to them, and none changes an object.

One that must not fail, and behind whose Service no pod is ready, refuses what it is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN, Resource
from beta9_simulator.cluster.selectors import selects
from beta9_simulator.cluster.store import Object, ObjectStore

_CONFIGURATIONS = (BUILTIN["mutatingwebhookconfigurations"], BUILTIN["validatingwebhookconfigurations"])
_SLICES = BUILTIN["endpointslices"]
_OF = "kubernetes.io/service-name"
_SECONDS = 10


def ask(store: ObjectStore, resource: Resource, body: Object, operation: str) -> None:
    """Ask the webhooks that are to be asked about a write.

    Raises:
        ApiError: 500 when one of them does not answer.
    """
    for webhook in _asked(store, resource, body, operation):
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is None or webhook.get("failurePolicy", "Fail") != "Fail":
            continue
        if not _answers(store, service["namespace"], service["name"]):
            host = f"{service['name']}.{service['namespace']}.svc"
            seconds = webhook.get("timeoutSeconds", _SECONDS)
            raise ApiError(
                500,
                f'Internal error occurred: failed calling webhook "{webhook["name"]}": failed to call '
                f'webhook: Post "https://{host}:443{service.get("path", "")}?timeout={seconds}s": no '
                f'endpoints available for service "{service["name"]}"',
                reason="InternalError",
            )


def _asked(store: ObjectStore, resource: Resource, body: Object, operation: str) -> Iterator[dict[str, Any]]:
    labels = body["metadata"].get("labels") or {}
    for kind in _CONFIGURATIONS:
        for configuration in store.select(kind):
            for webhook in configuration.get("webhooks") or ():
                rules = webhook.get("rules") or ()
                if any(_covers(rule, resource, operation) for rule in rules) and selects(
                    webhook.get("objectSelector") or {}, labels
                ):
                    yield webhook


def _covers(rule: dict[str, Any], resource: Resource, operation: str) -> bool:
    plurals = {resource.plural, "*", "*/*"}
    return (
        bool({resource.group, "*"} & set(rule["apiGroups"]))
        and bool({operation, "*"} & set(rule["operations"]))
        and bool(plurals & set(rule["resources"]))
    )


def _answers(store: ObjectStore, namespace: str, service: str) -> bool:
    return any(
        (endpoint.get("conditions") or {}).get("ready")
        for part in store.select(_SLICES, namespace)
        if (part["metadata"].get("labels") or {}).get(_OF) == service
        for endpoint in part.get("endpoints") or ()
    )
