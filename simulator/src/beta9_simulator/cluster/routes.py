"""From a request below a cluster's prefix to the function that answers it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from beta9_simulator.cluster import discovery, reads, subresources, writes
from beta9_simulator.cluster.calls import Call, parse_target, read_body
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.directory import User
from beta9_simulator.cluster.errors import ApiError, forbidden, no_such_resource
from beta9_simulator.cluster.nodes import kubernetes_version

Answer = Callable[[Call], web.Response]

_COLLECTION: dict[str, Answer] = {
    "GET": reads.list_objects,
    "POST": writes.create,
    "DELETE": writes.delete_collection,
}
_OBJECT: dict[str, Answer] = {
    "GET": reads.get,
    "PUT": writes.update,
    "PATCH": writes.patch,
    "DELETE": writes.delete,
}
_SUBRESOURCES: dict[str, dict[str, Answer]] = {
    "status": {"GET": reads.get, "PUT": writes.update, "PATCH": writes.patch},
    "finalize": {"PUT": writes.update},
    "scale": {"GET": subresources.get_scale, "PUT": subresources.put_scale, "PATCH": subresources.put_scale},
    "log": {"GET": subresources.logs},
    "eviction": {"POST": subresources.evict},
    "token": {"POST": subresources.token},
}


async def respond(
    cluster: Cluster, version: str, user: User, request: web.Request, path: str
) -> web.StreamResponse:
    """Answer a request; ``path`` is below the cluster's prefix, ``version`` is EKS's.

    Raises:
        ApiError: the request is refused.
    """
    parts = [part for part in path.split("/") if part]
    root, below = parts[0] if parts else "", parts[1:]
    if root in ("healthz", "readyz", "livez"):
        return web.Response(text="ok")
    if root == "version":
        return _version(kubernetes_version(version))
    if root == "openapi":
        return _openapi(cluster, kubernetes_version(version), below)
    if root not in ("api", "apis"):
        raise no_such_resource()
    places = 1 if root == "api" else 2
    if len(below) > places:
        return await _objects(cluster, user, request, "/".join(below[:places]), below[places:])
    return _discovery(cluster, request, root, below)


async def _objects(
    cluster: Cluster, user: User, request: web.Request, group_version: str, parts: list[str]
) -> web.StreamResponse:
    target = parse_target(cluster.resources, group_version, parts)
    if not user.is_admin and not target.resource.virtual:
        raise forbidden(target.resource, user.name, request.method)
    call = Call(cluster, user.name, target, request, await read_body(request))
    if target.resource.virtual:
        answers: dict[str, Answer] = {"POST": subresources.review}
    elif target.subresource:
        answers = _SUBRESOURCES[target.subresource]
    else:
        answers = _OBJECT if target.name else _COLLECTION
    answer = answers.get(request.method)
    if answer is None:
        allowed = ", ".join(answers)
        raise ApiError(405, f"{request.method} is not allowed here; allowed: {allowed}")
    if answer is reads.list_objects and request.query.get("watch") in ("1", "true"):
        return await reads.watch(call)
    return answer(call)


def _discovery(cluster: Cluster, request: web.Request, root: str, below: list[str]) -> web.Response:
    table = cluster.resources
    if not below and discovery.wants_aggregated(request.headers.get("Accept", "")):
        found = web.json_response(discovery.aggregated(table, core=root == "api"))
        found.headers["Content-Type"] = discovery.AGGREGATED_CONTENT_TYPE
        return found
    if not below:
        return web.json_response(discovery.core_versions() if root == "api" else discovery.group_list(table))
    if root == "apis" and len(below) == 1:
        return web.json_response(discovery.group(table, below[0]))
    return web.json_response(discovery.resource_list(table, "/".join(below)))


def _openapi(cluster: Cluster, version: str, below: list[str]) -> web.Response:
    if below == ["v2"]:
        return web.Response(
            body=discovery.OPENAPI_V2, headers={"Content-Type": discovery.OPENAPI_V2_CONTENT_TYPE}
        )
    if below == ["v3"]:
        return web.json_response(discovery.openapi_index(cluster.resources))
    if below[:1] != ["v3"]:
        raise no_such_resource()
    return web.json_response(discovery.openapi_document(cluster.resources, "/".join(below[2:]), version))


def _version(version: str) -> web.Response:
    major, minor, _ = version.removeprefix("v").split(".", 2)
    return web.json_response(
        {
            "major": major,
            "minor": minor,
            "gitVersion": version,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "go1.24",
            "compiler": "gc",
            "platform": "linux/amd64",
        }
    )
