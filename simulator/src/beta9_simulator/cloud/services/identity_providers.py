"""IAM: providers of OpenID Connect, whose tokens roles may trust."""

from typing import Any

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services import making
from beta9_simulator.cloud.services.request import Handler, Request, tag_list, when
from beta9_simulator.cloud.store import StoredObject

_PROVIDER = "aws_iam_openid_connect_provider"


def _create(request: Request) -> dict[str, Any]:
    params, tags = request.params, making.tags_given(request.params.get("Tags"))
    if not params["Url"].startswith("https://"):
        raise CloudError("ValidationError", "Invalid Open ID Connect Provider URL")
    values: dict[str, Any] = {
        "url": params["Url"],
        "client_id_list": params.get("ClientIDList") or [],
        "tags": tags or None,
        "tags_all": tags,
    }
    if params.get("ThumbprintList"):
        values["thumbprint_list"] = params["ThumbprintList"]
    made = making.make(request, _PROVIDER, values)
    return {"OpenIDConnectProviderArn": made.id, "Tags": tag_list(made.tags)}


def _get(request: Request) -> dict[str, Any]:
    found = _named(request)
    return {
        # Without its scheme, as IAM answers it.
        "Url": found.state["url"].removeprefix("https://"),
        "ClientIDList": found.state["client_id_list"],
        "ThumbprintList": found.state["thumbprint_list"],
        "CreateDate": when(found.created_at),
        "Tags": tag_list(found.tags),
    }


def _delete(request: Request) -> dict[str, Any]:
    """Deleting what is not there is no error: "This operation is idempotent" in the API reference."""
    for found in request.find_global(_PROVIDER, id=request.params["OpenIDConnectProviderArn"]):
        making.remove(request, found)
    return {}


def _list(request: Request) -> dict[str, Any]:
    found = request.find_global(_PROVIDER)
    return {"OpenIDConnectProviderList": [{"Arn": one.state["arn"]} for one in found]}


def _list_tags(request: Request) -> dict[str, Any]:
    return {"Tags": tag_list(_named(request).tags), "IsTruncated": False}


def _named(request: Request) -> StoredObject:
    arn = request.params["OpenIDConnectProviderArn"]
    found = request.find_global(_PROVIDER, id=arn)
    if not found:
        raise CloudError("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}")
    return found[0]


PROVIDERS: dict[str, Handler] = {
    "CreateOpenIDConnectProvider": _create,
    "DeleteOpenIDConnectProvider": _delete,
    "GetOpenIDConnectProvider": _get,
    "ListOpenIDConnectProviders": _list,
    "ListOpenIDConnectProviderTags": _list_tags,
}
