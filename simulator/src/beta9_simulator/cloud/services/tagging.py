"""Resource Groups Tagging API: every tagged object of a region, whatever its service."""

from typing import Any

from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list
from beta9_simulator.cloud.store import StoredObject
from beta9_simulator.cloud.templates import Context, render

_PAGE = 100
_ARN_ATTRIBUTES = ("arn", "access_entry_arn", "association_arn")


def _get_resources(request: Request) -> dict[str, Any]:
    filters = request.params.get("TagFilters") or []
    services = request.params.get("ResourceTypeFilters") or []
    arns = request.params.get("ResourceARNList") or []
    found = [
        {"ResourceARN": _arn(item), "Tags": tag_list(item.tags)}
        for item in request.store.find(account=request.principal.account, region=request.region)
        if _is_listed(item)
        and all(_has_tag(item, wanted) for wanted in filters)
        and (not services or any(_is_of(_arn(item), wanted) for wanted in services))
        and (not arns or _arn(item) in arns)
    ]
    size = int(request.params.get("ResourcesPerPage") or _PAGE)
    items, token = page(found, size, request.params.get("PaginationToken") or None)
    return {"ResourceTagMappingList": items, "PaginationToken": token or ""}


def _is_listed(item: StoredObject) -> bool:
    # AWS lists what has or had tags, in regions only: IAM roles are not among them.
    return bool(item.tags) and bool(_arn(item)) and not catalog()[item.type].is_global


def _arn(item: StoredObject) -> str:
    shown = next((str(item.state[key]) for key in _ARN_ATTRIBUTES if item.state.get(key)), "")
    context = Context(account=item.account, region=item.region, id=item.id)
    return shown or str(render(catalog()[item.type].arn, context))


def _has_tag(item: StoredObject, wanted: dict[str, Any]) -> bool:
    value = item.tags.get(wanted["Key"])
    return value is not None and (not wanted.get("Values") or value in wanted["Values"])


def _is_of(arn: str, wanted: str) -> bool:
    service, _, kind = wanted.partition(":")
    parts = arn.split(":", 5)
    return parts[2] == service and (not kind or parts[5].split("/")[0].split(":")[0] == kind)


HANDLERS: dict[str, Handler] = {"GetResources": _get_resources}
