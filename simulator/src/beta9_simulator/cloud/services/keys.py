"""KMS: the keys and aliases that stacks have; moto has the rest."""

from typing import Any

from beta9_simulator.cloud.services.request import Handler, Request, page, when
from beta9_simulator.cloud.store import StoredObject

_DAY = 86400.0
_WINDOW_DAYS = 30
_PAGE = 100


def _describe_key(request: Request) -> dict[str, Any] | None:
    id = request.params["KeyId"].rsplit("/", 1)[-1]
    waiting = request.store.gone(
        "aws_kms_key",
        account=request.principal.account,
        region=request.region,
        within=request.store.lasting("key_pending_deletion", _WINDOW_DAYS * _DAY),
    )
    found = [*request.find("aws_kms_key", id=id), *(one for one in waiting if one.id == id)]
    return {"KeyMetadata": _key(found[0])} if found else None


def _key(found: StoredObject) -> dict[str, Any]:
    state = found.state
    entry = {
        "AWSAccountId": found.account,
        "KeyId": found.id,
        "Arn": state["arn"],
        "CreationDate": when(found.created_at),
        "Enabled": found.status != "gone",
        "KeyState": "PendingDeletion" if found.status == "gone" else "Enabled",
        "KeyManager": "CUSTOMER",
        "Description": state.get("description") or "",
    }
    if found.status == "gone":
        days = state.get("deletion_window_in_days") or _WINDOW_DAYS
        entry["DeletionDate"] = when(found.busy_until + days * _DAY)
    return entry


def _list_aliases(request: Request) -> dict[str, Any]:
    aliases = [
        {
            "AliasName": one.name,
            "AliasArn": one.state["arn"],
            "TargetKeyId": str(one.state["target_key_id"]).rsplit("/", 1)[-1],
        }
        for one in request.find("aws_kms_alias")
    ]
    items, marker = page(aliases, int(request.params.get("Limit") or _PAGE), request.params.get("Marker"))
    return {"Aliases": items, "Truncated": marker is not None, "NextMarker": marker}


def _list_keys(request: Request) -> dict[str, Any]:
    keys = [{"KeyId": one.id, "KeyArn": one.state["arn"]} for one in request.find("aws_kms_key")]
    items, marker = page(keys, int(request.params.get("Limit") or _PAGE), request.params.get("Marker"))
    return {"Keys": items, "Truncated": marker is not None, "NextMarker": marker}


def _list_resource_tags(request: Request) -> dict[str, Any] | None:
    found = request.find("aws_kms_key", id=request.params["KeyId"].rsplit("/", 1)[-1])
    if not found:
        return None
    tags = [{"TagKey": key, "TagValue": value} for key, value in sorted(found[0].tags.items())]
    return {"Tags": tags, "Truncated": False}


def _list_grants(request: Request) -> dict[str, Any]:
    key = request.params["KeyId"]
    grants = [
        {
            "KeyId": one.state["key_id"],
            "GrantId": one.state["grant_id"],
            "Name": one.state.get("name") or "",
            "GranteePrincipal": one.state["grantee_principal"],
            "Operations": list(one.state["operations"]),
            "CreationDate": when(one.created_at),
        }
        for one in request.find("aws_kms_grant")
        if one.state["key_id"] == key
    ]
    items, marker = page(grants, int(request.params.get("Limit") or _PAGE), request.params.get("Marker"))
    return {"Grants": items, "Truncated": marker is not None, "NextMarker": marker}


HANDLERS: dict[str, Handler] = {
    "DescribeKey": _describe_key,
    "ListAliases": _list_aliases,
    "ListGrants": _list_grants,
    "ListKeys": _list_keys,
    "ListResourceTags": _list_resource_tags,
}
