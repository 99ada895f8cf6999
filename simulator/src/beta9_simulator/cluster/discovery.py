"""How clients learn which types a cluster serves: discovery in both forms, and the OpenAPI they need."""

from __future__ import annotations

from typing import Any

from beta9_simulator.cluster.errors import no_such_resource
from beta9_simulator.cluster.resources import VERBS, Resource, ResourceTable

AGGREGATED_CONTENT_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OPENAPI_V2_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Protobuf of gnostic's Document {swagger: "2.0", info: {title: "sim", version: "1"}}. Without definitions
# clients do not validate by themselves.
OPENAPI_V2 = b"\x0a\x032.0\x12\x08\x0a\x03sim\x12\x011"

_SUBRESOURCE_VERBS = ["get", "patch", "update"]
_CREATE_ONLY = {"eviction", "token"}


def wants_aggregated(accept: str) -> bool:
    """Whether the client understands aggregated discovery (``v=v2``, not only the older ``v2beta1``)."""
    parts = [part.replace(" ", "").split(";") for part in accept.split(",")]
    return any("g=apidiscovery.k8s.io" in part and "v=v2" in part for part in parts)


def aggregated(table: ResourceTable, *, core: bool) -> dict[str, Any]:
    """All groups at once; the core group has a place of its own."""
    items = []
    for group, versions in _groups(table).items():
        if core == (group == ""):
            found = [
                {"version": version, "freshness": "Current", "resources": [_aggregated(r) for r in types]}
                for version, types in versions.items()
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": found})
    kind = "APIGroupDiscoveryList"
    return {"kind": kind, "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def core_versions() -> dict[str, Any]:
    """The answer at ``/api``."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(table: ResourceTable) -> dict[str, Any]:
    """The answer at ``/apis``."""
    groups = [_group(name, versions) for name, versions in _groups(table).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(table: ResourceTable, name: str) -> dict[str, Any]:
    """The answer at ``/apis/{group}``.

    Raises:
        ApiError: 404, there is no such group.
    """
    versions = _groups(table).get(name)
    if versions is None:
        raise no_such_resource()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def resource_list(table: ResourceTable, group_version: str) -> dict[str, Any]:
    """The answer at ``/api/v1`` and ``/apis/{group}/{version}``.

    Raises:
        ApiError: 404, the version is not served.
    """
    types = [r for r in table.all() if r.group_version == group_version]
    if not types:
        raise no_such_resource()
    resources: list[dict[str, Any]] = []
    for r in types:
        resources.append(
            {
                "name": r.plural,
                "singularName": r.kind.lower(),
                "namespaced": r.namespaced,
                "kind": r.kind,
                "verbs": _verbs(r),
                "shortNames": list(r.short_names),
                "categories": list(r.categories),
            }
        )
        for name in r.subresources:
            kind = _subresource_kind(r, name)
            resources.append(
                {
                    "name": f"{r.plural}/{name}",
                    "singularName": "",
                    "namespaced": r.namespaced,
                    "verbs": _subresource_verbs(name),
                    **kind,
                }
            )
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }


def openapi_index(table: ResourceTable) -> dict[str, Any]:
    """The answer at ``/openapi/v3``. Clients put their own path prefix before these addresses."""
    paths = {}
    for group_version in sorted({r.group_version for r in table.all()}):
        place = f"{'apis' if '/' in group_version else 'api'}/{group_version}"
        paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash=0"}
    return {"paths": paths}


def openapi_document(table: ResourceTable, group_version: str, version: str) -> dict[str, Any]:
    """OpenAPI v3 of one API version: that PATCH exists and knows ``fieldValidation``, which kubectl looks up.

    Raises:
        ApiError: 404, the version is not served.
    """
    types = [r for r in table.all() if r.group_version == group_version]
    if not types:
        raise no_such_resource()
    root = "apis" if "/" in group_version else "api"
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    paths = {}
    for r in types:
        scope = "namespaces/{namespace}/" if r.namespaced else ""
        operation = {
            "parameters": parameters,
            "responses": {},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {"group": r.group, "version": r.version, "kind": r.kind},
        }
        paths[f"/{root}/{group_version}/{scope}{r.plural}/{{name}}"] = {"patch": operation}
    info = {"title": "simulated cluster", "version": version}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}


def _groups(table: ResourceTable) -> dict[str, dict[str, list[Resource]]]:
    groups: dict[str, dict[str, list[Resource]]] = {}
    for r in table.all():
        groups.setdefault(r.group, {}).setdefault(r.version, []).append(r)
    return groups


def _group(name: str, versions: dict[str, list[Resource]]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _aggregated(r: Resource) -> dict[str, Any]:
    subresources = []
    for name in r.subresources:
        kind = _subresource_kind(r, name)
        response = {"group": kind.get("group", r.group), "version": kind.get("version", r.version)}
        subresources.append(
            {
                "subresource": name,
                "responseKind": {**response, "kind": kind["kind"]},
                "verbs": _subresource_verbs(name),
            }
        )
    return {
        "resource": r.plural,
        "responseKind": {"group": r.group, "version": r.version, "kind": r.kind},
        "scope": "Namespaced" if r.namespaced else "Cluster",
        "singularResource": r.kind.lower(),
        "verbs": _verbs(r),
        "shortNames": list(r.short_names),
        "categories": list(r.categories),
        "subresources": subresources,
    }


def _verbs(r: Resource) -> list[str]:
    return ["create"] if r.virtual else list(VERBS)


def _subresource_verbs(name: str) -> list[str]:
    if name == "log":
        return ["get"]
    return ["create"] if name in _CREATE_ONLY else _SUBRESOURCE_VERBS


def _subresource_kind(r: Resource, name: str) -> dict[str, str]:
    if name == "scale":
        return {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    if name == "eviction":
        return {"group": "policy", "version": "v1", "kind": "Eviction"}
    if name == "token":
        return {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
    return {"kind": r.kind}
