"""IAM: managed policies with their versions, what they are attached to, and inline policies of roles.

AWS's own policies can be attached; what they say is not known here.
"""

import time
from typing import Any

from beta9_simulator.cloud import iam_documents, iam_rules, policy_versions
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services import making
from beta9_simulator.cloud.services.identity import encoded, paged, role_named
from beta9_simulator.cloud.services.request import Handler, Request, tag_list, when
from beta9_simulator.cloud.store import StoredObject

_POLICY = "aws_iam_policy"
_ATTACHMENT = "aws_iam_role_policy_attachment"
_INLINE = "aws_iam_role_policy"


def _create_policy(request: Request) -> dict[str, Any]:
    params, tags = request.params, making.tags_given(request.params.get("Tags"))
    iam_documents.check(params["PolicyDocument"], "identity")
    values = {
        "name": params["PolicyName"],
        "name_prefix": "",
        "path": params.get("Path") or "/",
        "policy": params["PolicyDocument"],
        "description": params.get("Description") or None,
        "attachment_count": 0,
        "tags": tags or None,
        "tags_all": tags,
    }
    return {"Policy": _policy(request, making.make(request, _POLICY, values))}


def _get_policy(request: Request) -> dict[str, Any]:
    found = _policy_named(request)
    about = {"Description": found.state.get("description") or "", "Tags": tag_list(found.tags)}
    return {"Policy": {**_policy(request, found), **about}}


def _list_policies(request: Request) -> dict[str, Any]:
    if request.params.get("Scope") != "Local":
        raise CloudError("UnsupportedOperation", "The simulated cloud lists policies of Scope Local only")
    prefix, attached = request.params.get("PathPrefix") or "/", request.params.get("OnlyAttached")
    shown = [
        _policy(request, one) for one in request.find_global(_POLICY) if one.state["path"].startswith(prefix)
    ]
    return paged(request, "Policies", [one for one in shown if one["AttachmentCount"] or not attached])


def _delete_policy(request: Request) -> dict[str, Any]:
    found = _policy_named(request)
    if len(policy_versions.versions(found)) > 1:
        raise CloudError(
            "DeleteConflict",
            "This policy has more than one version. Before you delete a policy, you must delete the policy's "
            "versions. The default version is deleted with the policy.",
        )
    making.remove(request, found)
    return {}


def _policy(request: Request, found: StoredObject) -> dict[str, Any]:
    return {
        "PolicyName": found.name,
        "PolicyId": found.state["policy_id"],
        "Arn": found.id,
        "Path": found.state["path"],
        "DefaultVersionId": policy_versions.default(found).id,
        "AttachmentCount": len(_attached_to(request, found.id)),
        "PermissionsBoundaryUsageCount": len(_bounded_by(request, found.id)),
        "IsAttachable": True,
        "CreateDate": when(found.created_at),
        "UpdateDate": when(policy_versions.default(found).created_at),
    }


def _policy_named(request: Request) -> StoredObject:
    arn = request.params["PolicyArn"]
    if iam_rules.is_managed_by_aws(arn):
        raise CloudError("UnsupportedOperation", f"The simulated cloud does not know what {arn} says")
    found = request.find_global(_POLICY, id=arn)
    if not found:
        raise CloudError("NoSuchEntity", f"Policy {arn} was not found.")
    return found[0]


# Versions


def _create_policy_version(request: Request) -> dict[str, Any]:
    found, document = _policy_named(request), request.params["PolicyDocument"]
    iam_documents.check(document, "identity")
    is_default = bool(request.params.get("SetAsDefault"))
    changes = policy_versions.with_new(found, document, time.time(), is_default=is_default)
    making.change(request, found, **changes)
    made = policy_versions.versions(_policy_named(request))[0]
    return {"PolicyVersion": _version(made)}


def _get_policy_version(request: Request) -> dict[str, Any]:
    found = policy_versions.version(_policy_named(request), request.params["VersionId"])
    return {"PolicyVersion": {**_version(found), "Document": encoded(found.document)}}


def _list_policy_versions(request: Request) -> dict[str, Any]:
    return paged(
        request, "Versions", [_version(one) for one in policy_versions.versions(_policy_named(request))]
    )


def _delete_policy_version(request: Request) -> dict[str, Any]:
    found = _policy_named(request)
    making.change(request, found, **policy_versions.without(found, request.params["VersionId"]))
    return {}


def _version(found: policy_versions.Version) -> dict[str, Any]:
    created = when(found.created_at)
    return {"VersionId": found.id, "IsDefaultVersion": found.is_default, "CreateDate": created}


# Attachments


def _attach_role_policy(request: Request) -> dict[str, Any]:
    role, arn = role_named(request), request.params["PolicyArn"]
    if not iam_rules.is_managed_by_aws(arn) and not request.find_global(_POLICY, id=arn):
        raise CloudError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")
    making.make(request, _ATTACHMENT, {"role": role.name, "policy_arn": arn})
    return {}


def _detach_role_policy(request: Request) -> dict[str, Any]:
    role, arn = role_named(request), request.params["PolicyArn"]
    found = [one for one in _attached_to(request, arn) if one.state["role"] == role.name]
    if not found:
        raise CloudError("NoSuchEntity", f"Policy {arn} was not found.")
    making.remove(request, found[0])
    return {}


def _list_attached_role_policies(request: Request) -> dict[str, Any]:
    role, prefix = role_named(request), request.params.get("PathPrefix") or "/"
    attached = [
        {"PolicyArn": arn, "PolicyName": arn.rsplit("/", maxsplit=1)[-1]}
        for item in request.find_global(_ATTACHMENT)
        if item.state["role"] == role.name
        for arn in (item.state["policy_arn"],)
        if arn.partition(":policy")[2].startswith(prefix)
    ]
    return paged(request, "AttachedPolicies", attached)


def _list_entities_for_policy(request: Request) -> dict[str, Any]:
    params = request.params
    arn, usage = params["PolicyArn"], params.get("PolicyUsageFilter")
    if not iam_rules.is_managed_by_aws(arn):
        _policy_named(request)
    names = set[str]()
    if usage != "PermissionsBoundary":
        names |= {one.state["role"] for one in _attached_to(request, arn)}
    if usage != "PermissionsPolicy":
        names |= {one.name for one in _bounded_by(request, arn)}
    roles = [
        {"RoleName": role.name, "RoleId": role.state["unique_id"]}
        for role in request.find_global("aws_iam_role")
        if role.name in names and role.state["path"].startswith(params.get("PathPrefix") or "/")
    ]
    wanted = roles if params.get("EntityFilter") in (None, "", "Role") else []
    return {"PolicyGroups": [], "PolicyUsers": [], **paged(request, "PolicyRoles", wanted)}


def _attached_to(request: Request, arn: str) -> list[StoredObject]:
    return [one for one in request.find_global(_ATTACHMENT) if one.state["policy_arn"] == arn]


def _bounded_by(request: Request, arn: str) -> list[StoredObject]:
    roles = request.find_global("aws_iam_role")
    return [one for one in roles if one.state.get("permissions_boundary") == arn]


# Inline policies


def _put_role_policy(request: Request) -> dict[str, Any]:
    role, document = role_named(request), request.params["PolicyDocument"]
    iam_documents.check(document, "identity")
    values = {
        "role": role.name,
        "name": request.params["PolicyName"],
        "name_prefix": "",
        "policy": document,
    }
    making.make(request, _INLINE, values)
    return {}


def _get_role_policy(request: Request) -> dict[str, Any]:
    found = _inline_named(request)
    document = encoded(found.state["policy"])
    return {"RoleName": found.state["role"], "PolicyName": found.name, "PolicyDocument": document}


def _delete_role_policy(request: Request) -> dict[str, Any]:
    making.remove(request, _inline_named(request))
    return {}


def _list_role_policies(request: Request) -> dict[str, Any]:
    role = role_named(request).name
    names = [one.name for one in request.find_global(_INLINE) if one.state["role"] == role]
    return paged(request, "PolicyNames", sorted(names))


def _inline_named(request: Request) -> StoredObject:
    role, name = role_named(request).name, request.params["PolicyName"]
    found = request.find_global(_INLINE, id=f"{role}:{name}")
    if not found:
        raise CloudError("NoSuchEntity", f"The role policy with name {name} cannot be found.")
    return found[0]


POLICIES: dict[str, Handler] = {
    "AttachRolePolicy": _attach_role_policy,
    "CreatePolicy": _create_policy,
    "CreatePolicyVersion": _create_policy_version,
    "DeletePolicy": _delete_policy,
    "DeletePolicyVersion": _delete_policy_version,
    "DeleteRolePolicy": _delete_role_policy,
    "DetachRolePolicy": _detach_role_policy,
    "GetPolicy": _get_policy,
    "GetPolicyVersion": _get_policy_version,
    "GetRolePolicy": _get_role_policy,
    "ListAttachedRolePolicies": _list_attached_role_policies,
    "ListEntitiesForPolicy": _list_entities_for_policy,
    "ListPolicies": _list_policies,
    "ListPolicyVersions": _list_policy_versions,
    "ListRolePolicies": _list_role_policies,
    "PutRolePolicy": _put_role_policy,
}
