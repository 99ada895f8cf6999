"""Get, list and watch."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from typing import Any

from aiohttp import web

from beta9_simulator.cluster.calls import Call
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.store import Change, Object, name_of
from beta9_simulator.cluster.tables import is_table, present, present_list

_BOOKMARK_SECONDS = 30.0
_LONGEST_WATCH_SECONDS = 1800


def get(call: Call) -> web.Response:
    """One object."""
    target = call.target
    return call.answer(call.cluster.require(target.resource, target.namespace, target.name))


def list_objects(call: Call) -> web.Response:
    """A collection; with ``limit`` in pages, each of which says how to go on."""
    resource = call.target.resource
    found = [
        body for body in call.cluster.store.select(resource, call.target.namespace) if call.selects(body)
    ]
    metadata: dict[str, Any] = {"resourceVersion": str(call.cluster.store.revision)}
    if token := call.request.query.get("continue"):
        after = _read_token(token)
        found = [body for body in found if name_of(body) > after]
    limit = call.number("limit") or len(found)
    if len(found) > limit:
        metadata["continue"] = _token(name_of(found[limit - 1]))
        metadata["remainingItemCount"] = len(found) - limit
    page = found[:limit]
    include = call.wants_whole_rows
    return web.json_response(present_list(resource, page, metadata, call.accept, include_object=include))


def _token(place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _read_token(token: str) -> tuple[str, str]:
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError) as error:
        raise ApiError(400, "continue is not a token of this server; list from the start") from error
    return (str(namespace), str(name))


async def watch(call: Call) -> web.StreamResponse:
    """A stream of changes until the client leaves, ``timeoutSeconds`` are over or the cluster has gone."""
    seconds = call.number("timeoutSeconds") or _LONGEST_WATCH_SECONDS
    since = call.number("resourceVersion") or 0
    stream = _Stream(call)
    try:
        with call.cluster.store.watching() as changed:
            await stream.begin(since)
            await stream.follow(changed, time.monotonic() + seconds)
    except ConnectionError:
        return stream.response  # the client has gone, which is how most watches end
    return stream.response


class _Stream:
    """Writes events to one client and remembers how far it got."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._selects = call.selects  # bad selectors are refused here, before the stream begins
        self._sent = 0
        self._table = is_table(call.accept)
        self._bookmarks = call.request.query.get("allowWatchBookmarks") == "true" and not self._table
        self.response = web.StreamResponse(headers={"Content-Type": "application/json"})

    async def begin(self, since: int) -> None:
        """Send the objects there are, if asked for, and the bookmark that says they are complete.

        Helm waits for that bookmark for 60 s whatever its ``--timeout``.
        """
        await self.response.prepare(self._call.request)
        store, target = self._call.cluster.store, self._call.target
        self._sent = since
        initial = self._call.request.query.get("sendInitialEvents") == "true"
        if not initial and since:
            return
        self._sent = store.revision
        for body in store.select(target.resource, target.namespace):
            if self._selects(body):
                await self._send("ADDED", self._shown(body))
        if initial and self._bookmarks:
            await self._bookmark({"k8s.io/initial-events-end": "true"})

    async def follow(self, changed: asyncio.Event, deadline: float) -> None:
        """Send changes as they happen."""
        cluster = self._call.cluster
        while not cluster.closed:
            changed.clear()
            try:
                changes = cluster.store.changes_since(self._sent)
            except ApiError as error:
                await self._send("ERROR", error.status())
                return
            for change in changes:
                self._sent = change.revision
                await self._pass_on(change)
            left = deadline - time.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(changed.wait(), min(left, _BOOKMARK_SECONDS))
            except TimeoutError:
                if self._bookmarks:
                    await self._bookmark({})

    async def _pass_on(self, change: Change) -> None:
        """An object that begins or ceases to match the selectors appears or disappears for this client."""
        if change.key != self._call.target.resource.key:
            return
        matched = change.previous is not None and self._selects(change.previous)
        matches = self._selects(change.body)
        kind: str | None = change.type
        if change.type == "MODIFIED" and not matched:
            kind = "ADDED" if matches else None
        elif change.type == "MODIFIED" and not matches:
            kind = "DELETED"
        elif not matches:
            kind = None
        if kind:
            await self._send(kind, self._shown(change.body))

    def _shown(self, body: Object) -> dict[str, Any]:
        call = self._call
        return present(call.target.resource, body, call.accept, include_object=call.wants_whole_rows)

    async def _bookmark(self, annotations: dict[str, str]) -> None:
        resource = self._call.target.resource
        metadata: dict[str, Any] = {"resourceVersion": str(self._sent), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind = {"kind": resource.kind, "apiVersion": resource.group_version}
        await self._send("BOOKMARK", {**kind, "metadata": metadata})

    async def _send(self, kind: str, body: dict[str, Any]) -> None:
        await self.response.write(json.dumps({"type": kind, "object": body}).encode() + b"\n")
