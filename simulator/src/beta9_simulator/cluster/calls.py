"""One request to a cluster's API, taken apart: which objects it is about, and what its body says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import Any

from aiohttp import web
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from beta9_simulator.cluster import protobuf
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.errors import ApiError, no_such_resource
from beta9_simulator.cluster.ownership import Shape, Writer
from beta9_simulator.cluster.resources import Resource, ResourceTable
from beta9_simulator.cluster.selectors import Predicate, matches_fields, matches_labels
from beta9_simulator.cluster.store import Object
from beta9_simulator.cluster.tables import present

_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True)
class Target:
    """What a path names. Without ``name`` it is a collection; without ``namespace``, of all namespaces."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Call:
    """A request to one cluster, with its decoded body."""

    cluster: Cluster
    username: str
    target: Target
    request: web.Request
    body: Any

    @property
    def accept(self) -> str:
        """Which form of answer the client wants."""
        return self.request.headers.get("Accept", "")

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be stored."""
        options = self.body.get("dryRun") if isinstance(self.body, dict) else None
        return "All" in self.request.query.getall("dryRun", []) or options == ["All"]

    @property
    def wants_whole_rows(self) -> bool:
        """Whether the rows of a table are to carry whole objects."""
        return self.request.query.get("includeObject") == "Object"

    @property
    def shape(self) -> Shape:
        """How lists of the target's type merge."""
        return Shape(custom=self.target.resource.custom)

    def writer(self, operation: str) -> Writer:
        """The field manager: named in the query, else the client's program."""
        agent = self.request.headers.get("User-Agent", "unknown").split("/", maxsplit=1)[0]
        subresource = self.target.subresource if self.target.subresource == "status" else ""
        return Writer(self.request.query.get("fieldManager") or agent, operation, subresource)

    def number(self, name: str) -> int | None:
        """A query parameter that must be a number.

        Raises:
            ApiError: 400.
        """
        text = self.request.query.get(name, "")
        if text and not text.isdigit():
            raise ApiError(400, f"{name}={text!r} must be a number")
        return int(text) if text else None

    @cached_property
    def selects(self) -> Predicate:
        """A test whether an object is in the namespace, and matches the selectors, of the request.

        Raises:
            ApiError: 400, a selector cannot be parsed.
        """
        labels_match = matches_labels(self.request.query.get("labelSelector", ""))
        fields_match = matches_fields(self.request.query.get("fieldSelector", ""))

        def test(body: Object) -> bool:
            metadata = body["metadata"]
            here = self.target.namespace in ("", metadata.get("namespace"))
            return here and labels_match(metadata.get("labels") or {}) and fields_match(body)

        return test

    def answer(self, body: Object, status: int = 200) -> web.Response:
        """One object, in the form that the client wants."""
        shown = present(self.target.resource, body, self.accept, include_object=self.wants_whole_rows)
        return web.json_response(shown, status=status)


def parse_target(table: ResourceTable, group_version: str, parts: list[str]) -> Target:
    """What the path below ``/api/v1`` or ``/apis/{group}/{version}`` names.

    Raises:
        ApiError: 404.
    """
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
        namespace, parts = parts[1], parts[2:]
    resource = table.get(group_version, parts[0])
    name, subresource = (*parts[1:], "", "")[:2]
    if resource is None or len(parts) > 3 or (namespace and not resource.namespaced):
        raise no_such_resource()
    if subresource and subresource not in resource.subresources:
        raise no_such_resource()
    if name and resource.namespaced and not namespace:
        raise no_such_resource()
    return Target(resource, namespace, name, subresource)


async def read_body(request: web.Request) -> Any:
    """The decoded body: JSON, YAML or protobuf; None if there is none.

    Raises:
        ApiError: 400 or 415.
    """
    raw = await request.read() if request.can_read_body else b""
    if not raw:
        return None
    if raw.startswith(protobuf.MAGIC):
        return protobuf.decode(raw)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        if "yaml" not in request.content_type:
            raise ApiError(400, f"the body is not JSON: {error}") from error
    try:
        return YAML(typ="safe", pure=True).load(StringIO(raw.decode()))
    except (YAMLError, ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is neither JSON nor YAML: {error}") from error
