"""IAM: roles, with their tags and boundaries; policies are in `identity_policies`, moto has the rest."""

from typing import Any
from urllib.parse import quote

from beta9_simulator.cloud import iam_documents, iam_limits, iam_rules
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services import making
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list, when
from beta9_simulator.cloud.store import StoredObject

_ROLE = "aws_iam_role"
_PAGE = 100


def role_named(request: Request) -> StoredObject:
    """Return the role that a request names. Raises ``CloudError``: NoSuchEntity."""
    name = request.params["RoleName"]
    found = request.find_global(_ROLE, name=name)
    if not found:
        raise CloudError("NoSuchEntity", f"The role with name {name} cannot be found.")
    return found[0]


def encoded(document: Any) -> str:
    """A policy document as IAM answers it: percent-encoded ("RFC 3986" in its API reference)."""
    return quote(str(document), safe="")


def paged(request: Request, key: str, found: list[Any]) -> dict[str, Any]:
    """Return a page of what was found, under the key of the answer."""
    size = int(request.params.get("MaxItems") or _PAGE)
    items, marker = page(found, size, request.params.get("Marker"))
    return {key: items, "IsTruncated": marker is not None, "Marker": marker}


def _create_role(request: Request) -> dict[str, Any]:
    params = request.params
    name, boundary = params["RoleName"], params.get("PermissionsBoundary")
    tags = making.tags_given(params.get("Tags"))
    iam_documents.check(params["AssumeRolePolicyDocument"], "trust")
    values = {
        "name": name,
        "name_prefix": "",
        "path": params.get("Path") or "/",
        "assume_role_policy": params["AssumeRolePolicyDocument"],
        "description": params.get("Description") or None,
        "permissions_boundary": boundary,
        "managed_policy_arns": [],
        "tags": tags or None,
        "tags_all": tags,
    }
    if params.get("MaxSessionDuration"):
        values["max_session_duration"] = int(params["MaxSessionDuration"])

    def check() -> None:
        # "Names are not distinguished by case": CreateRole in the API reference.
        if any(one.name.lower() == name.lower() for one in request.find_global(_ROLE)):
            raise CloudError("EntityAlreadyExists", f"Role with name {name} already exists.")
        if boundary:
            _check_boundary(request, boundary)

    return {"Role": _role(making.make(request, _ROLE, values, also=check))}


def _get_role(request: Request) -> dict[str, Any]:
    return {"Role": _role(role_named(request))}


def _list_roles(request: Request) -> dict[str, Any]:
    prefix = request.params.get("PathPrefix") or "/"
    found = [item for item in request.find_global(_ROLE) if item.state["path"].startswith(prefix)]
    # "ListRoles" in the API reference: it tells neither boundaries nor tags.
    told = [{**_role(item), "PermissionsBoundary": None, "Tags": None} for item in found]
    return paged(request, "Roles", told)


def _update_assume_role_policy(request: Request) -> dict[str, Any]:
    found, document = role_named(request), request.params["PolicyDocument"]
    iam_documents.check(document, "trust")
    making.change(request, found, assume_role_policy=document)
    return {}


def _delete_role(request: Request) -> dict[str, Any]:
    making.remove(request, role_named(request))
    return {}


def _role(found: StoredObject) -> dict[str, Any]:
    state = found.state
    shown = {
        "Path": state["path"],
        "RoleName": found.name,
        "RoleId": state["unique_id"],
        "Arn": state["arn"],
        "CreateDate": when(found.created_at),
        "AssumeRolePolicyDocument": encoded(state["assume_role_policy"]),
        "MaxSessionDuration": state["max_session_duration"],
        "Tags": tag_list(found.tags),
    }
    if state.get("description"):
        shown["Description"] = state["description"]
    if state.get("permissions_boundary"):
        shown["PermissionsBoundary"] = {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": state["permissions_boundary"],
        }
    return shown


# Tags


def _tag_role(request: Request) -> dict[str, Any]:
    found, new = role_named(request), making.tags_given(request.params["Tags"])
    # Keys that differ by case only are the same: "Tags for IAM resources" in the user guide.
    old = {key: value for key, value in found.tags.items() if key.lower() not in {k.lower() for k in new}}
    if len(old) + len(new) > iam_limits.TAGS:
        raise CloudError("LimitExceeded", f"Cannot exceed quota for TagsPerRole: {iam_limits.TAGS}")
    _set_tags(request, found, {**old, **new})
    return {}


def _untag_role(request: Request) -> dict[str, Any]:
    found, gone = role_named(request), request.params["TagKeys"]
    _set_tags(request, found, {key: value for key, value in found.tags.items() if key not in gone})
    return {}


def _set_tags(request: Request, found: StoredObject, tags: dict[str, str]) -> None:
    making.change(request, found, tags=tags or None, tags_all=tags)


def _list_role_tags(request: Request) -> dict[str, Any]:
    return paged(request, "Tags", tag_list(role_named(request).tags))


# Boundaries


def _put_role_permissions_boundary(request: Request) -> dict[str, Any]:
    found, arn = role_named(request), request.params["PermissionsBoundary"]
    _check_boundary(request, arn)
    making.change(request, found, permissions_boundary=arn)
    return {}


def _delete_role_permissions_boundary(request: Request) -> dict[str, Any]:
    found = role_named(request)
    if not found.state.get("permissions_boundary"):
        raise CloudError("NoSuchEntity", f"Role with name {found.name} does not have a permissions boundary.")
    making.change(request, found, permissions_boundary=None)
    return {}


def _check_boundary(request: Request, arn: str) -> None:
    if not iam_rules.is_managed_by_aws(arn) and not request.find_global("aws_iam_policy", id=arn):
        raise CloudError("NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.")


ROLES: dict[str, Handler] = {
    "CreateRole": _create_role,
    "DeleteRole": _delete_role,
    "DeleteRolePermissionsBoundary": _delete_role_permissions_boundary,
    "GetRole": _get_role,
    "ListRoles": _list_roles,
    "ListRoleTags": _list_role_tags,
    "PutRolePermissionsBoundary": _put_role_permissions_boundary,
    "TagRole": _tag_role,
    "UntagRole": _untag_role,
    "UpdateAssumeRolePolicy": _update_assume_role_policy,
}
