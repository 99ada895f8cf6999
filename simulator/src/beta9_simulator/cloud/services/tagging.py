"""Resource Groups Tagging API: every tagged object of a region, whatever its service, some time late.

It lists what is new after a while, and what is deleted for hours: https://github.com/boto/boto3/issues/3341,
https://github.com/aws/aws-cli/issues/8197.
"""

import time
from collections.abc import Iterator
from typing import Any

from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list
from beta9_simulator.cloud.store import StoredObject
from beta9_simulator.cloud.templates import Context, render

_PAGE = 100
_ARN_ATTRIBUTES = ("arn", "access_entry_arn", "association_arn")
NEW_SECONDS = 60.0
"""So long a new object is not listed; the setting `lasts:tagging_new` changes it."""
GONE_SECONDS = 3 * 3600.0
"""So long a deleted object is listed; the setting `lasts:tagging_gone` changes it."""


def _get_resources(request: Request) -> dict[str, Any]:
    filters = request.params.get("TagFilters") or []
    services = request.params.get("ResourceTypeFilters") or []
    arns = request.params.get("ResourceARNList") or []
    found = [
        {"ResourceARN": arn, "Tags": tag_list(item.tags)}
        for arn, item in _listed(request).items()
        if all(_has_tag(item, wanted) for wanted in filters)
        and (not services or any(_is_of(arn, wanted) for wanted in services))
        and (not arns or arn in arns)
    ]
    size = int(request.params.get("ResourcesPerPage") or _PAGE)
    items, token = page(found, size, request.params.get("PaginationToken") or None)
    return {"ResourceTagMappingList": items, "PaginationToken": token or ""}


def _listed(request: Request) -> dict[str, StoredObject]:
    """Return what is listed now, by ARN: AWS lists what has or had tags, in regions only (no IAM roles)."""
    listed = {_arn(item): item for item in _seen(request) if item.tags}
    return {arn: item for arn, item in listed.items() if arn}


def _seen(request: Request) -> Iterator[StoredObject]:
    store, account = request.store, request.principal.account
    gone = store.lasting("tagging_gone", GONE_SECONDS)
    yield from store.gone(account=account, region=request.region, within=gone)
    known_since = time.time() - store.lasting("tagging_new", NEW_SECONDS)
    for item in store.find(account=account, region=request.region):
        if item.created_at <= known_since:
            yield item


def _arn(item: StoredObject) -> str:
    shown = next((str(item.state[key]) for key in _ARN_ATTRIBUTES if item.state.get(key)), "")
    entry = catalog().get(item.type)
    context = Context(account=item.account, region=item.region, id=item.id)
    return shown or (str(render(entry.arn, context)) if entry else "")


def _has_tag(item: StoredObject, wanted: dict[str, Any]) -> bool:
    value = item.tags.get(wanted["Key"])
    return value is not None and (not wanted.get("Values") or value in wanted["Values"])


def _is_of(arn: str, wanted: str) -> bool:
    service, _, kind = wanted.partition(":")
    parts = arn.split(":", 5)
    return parts[2] == service and (not kind or parts[5].split("/")[0].split(":")[0] == kind)


HANDLERS: dict[str, Handler] = {"GetResources": _get_resources}
