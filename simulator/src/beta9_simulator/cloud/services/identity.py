"""IAM, as far as the store holds what it knows; moto has the rest."""

from typing import Any
from urllib.parse import quote

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list, when
from beta9_simulator.cloud.store import StoredObject

_PAGE = 100


def _get_role(request: Request) -> dict[str, Any] | None:
    found = request.find_global("aws_iam_role", name=request.params["RoleName"])
    return {"Role": _role(found[0])} if found else None


def _list_roles(request: Request) -> dict[str, Any]:
    size = int(request.params.get("MaxItems") or _PAGE)
    items, marker = page(request.find_global("aws_iam_role"), size, request.params.get("Marker"))
    return {"Roles": [_role(item) for item in items], "IsTruncated": marker is not None, "Marker": marker}


def _role(found: StoredObject) -> dict[str, Any]:
    state = found.state
    return {
        "Path": state["path"],
        "RoleName": found.name,
        "RoleId": state["unique_id"],
        "Arn": state["arn"],
        "CreateDate": when(found.created_at),
        "AssumeRolePolicyDocument": quote(state["assume_role_policy"]),
        "MaxSessionDuration": state["max_session_duration"],
        "Tags": tag_list(found.tags),
    }


def _list_attached_role_policies(request: Request) -> dict[str, Any] | None:
    role = request.params["RoleName"]
    if not request.find_global("aws_iam_role", name=role):
        return None
    attached = [
        {"PolicyArn": arn, "PolicyName": arn.rsplit("/", maxsplit=1)[-1]}
        for item in request.find_global("aws_iam_role_policy_attachment")
        if item.state["role"] == role
        for arn in (item.state["policy_arn"],)
    ]
    return {"AttachedPolicies": attached, "IsTruncated": False}


def _get_role_policy(request: Request) -> dict[str, Any] | None:
    role, name = request.params["RoleName"], request.params["PolicyName"]
    found = request.find_global("aws_iam_role_policy", id=f"{role}:{name}")
    if not found:
        return None
    return {"RoleName": role, "PolicyName": name, "PolicyDocument": quote(found[0].state["policy"])}


def _list_openid_connect_providers(request: Request) -> dict[str, Any]:
    found = request.find_global("aws_iam_openid_connect_provider")
    return {"OpenIDConnectProviderList": [{"Arn": one.state["arn"]} for one in found]}


def _list_openid_connect_provider_tags(request: Request) -> dict[str, Any]:
    arn = request.params["OpenIDConnectProviderArn"]
    found = request.find_global("aws_iam_openid_connect_provider", id=arn)
    if not found:
        raise CloudError("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}")
    return {"Tags": tag_list(found[0].tags), "IsTruncated": False}


IAM: dict[str, Handler] = {
    "ListOpenIDConnectProviders": _list_openid_connect_providers,
    "ListOpenIDConnectProviderTags": _list_openid_connect_provider_tags,
    "GetRole": _get_role,
    "GetRolePolicy": _get_role_policy,
    "ListRoles": _list_roles,
    "ListAttachedRolePolicies": _list_attached_role_policies,
}
