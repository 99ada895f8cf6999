"""CloudFormation: stacks of roles and managed policies, made at once and by the API of IAM, as their caller.

It is an interpreter of our own, which the status of every stack says. It knows two types of resources.
"""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from beta9_simulator.cloud import stack_templates
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services import identity, identity_policies
from beta9_simulator.cloud.services.request import Handler, Request, when
from beta9_simulator.cloud.stack_templates import NotYet, Resolver, invalid

_SIMULATED = "Made by the simulated cloud, which interprets templates of two types of resources."
_NAMED = "CAPABILITY_NAMED_IAM"
_IAM = identity.ROLES | identity_policies.POLICIES
_POLICY = "AWS::IAM::ManagedPolicy"
_ROLE = "AWS::IAM::Role"
_PROPERTIES = {
    _POLICY: {"ManagedPolicyName", "Path", "Description", "PolicyDocument"},
    _ROLE: {
        "RoleName",
        "Path",
        "Description",
        "MaxSessionDuration",
        "PermissionsBoundary",
        "AssumeRolePolicyDocument",
        "ManagedPolicyArns",
    },
}
Undo = tuple[str, dict[str, str]]
"""An operation of IAM and its parameters."""


def _create_stack(request: Request) -> dict[str, Any]:
    params, name = request.params, request.params["StackName"]
    if request.store.setting(_key(request, name)):
        raise CloudError("AlreadyExistsException", f"Stack [{name}] already exists")
    if not params.get("TemplateBody"):
        raise invalid("Either Template URL or Template Body must be specified.")
    template = stack_templates.read(params["TemplateBody"])
    given = {one["ParameterKey"]: one["ParameterValue"] for one in params.get("Parameters") or ()}
    values = stack_templates.parameters(template, given)
    if _NAMED not in (params.get("Capabilities") or ()):
        raise CloudError("InsufficientCapabilitiesException", f"Requires capabilities : [{_NAMED}]")
    arn = f"arn:aws:cloudformation:{request.region}:{request.principal.account}:stack/{name}/{uuid.uuid4()}"
    undo: list[Undo] = []
    status, reason = "CREATE_COMPLETE", _SIMULATED
    outputs: dict[str, str] = {}
    try:
        outputs = _make(request, template, Resolver(template, values), undo)
    except CloudError as error:
        _undo(request, undo)
        status, reason, undo = "ROLLBACK_COMPLETE", f"{error.message} {_SIMULATED}", []
    stack = {
        "StackId": arn,
        "StackName": name,
        "StackStatus": status,
        "StackStatusReason": reason,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
        "Capabilities": [_NAMED],
    }
    kept = {"stack": stack, "created": time.time(), "undo": undo}
    request.store.set_setting(_key(request, name), json.dumps(kept))
    return {"StackId": arn}


def _describe_stacks(request: Request) -> dict[str, Any]:
    name = request.params.get("StackName")
    if not name:
        raise invalid("The simulated cloud describes stacks that are named only")
    kept = _kept(request, name)
    return {"Stacks": [{**kept["stack"], "CreationTime": when(kept["created"])}]}


def _delete_stack(request: Request) -> dict[str, Any]:
    name = request.params["StackName"]
    if request.store.setting(_key(request, name)):
        _undo(request, [(operation, params) for operation, params in _kept(request, name)["undo"]])
        request.store.set_setting(_key(request, name), "")
    return {}


def _make(request: Request, template: dict[str, Any], resolver: Resolver, undo: list[Undo]) -> dict[str, str]:
    """Make all resources, each as soon as those are there that it names; return the outputs."""
    waiting = dict(template["Resources"])
    while waiting:
        before = len(waiting)
        for name, resource in list(waiting.items()):
            try:
                properties = resolver.resolve(resource.get("Properties", {}))
            except NotYet:
                continue
            resolver.made[name] = _make_one(request, resource["Type"], properties, undo)
            del waiting[name]
        if len(waiting) == before:
            raise invalid(f"Circular dependency between resources: {sorted(waiting)}")
    return {name: resolver.resolve(told["Value"]) for name, told in template.get("Outputs", {}).items()}


def _make_one(request: Request, type_: str, properties: dict[str, Any], undo: list[Undo]) -> dict[str, str]:
    if type_ not in _PROPERTIES:
        raise invalid(f"Template format error: Unrecognized resource types: [{type_}]")
    if unknown := sorted(properties.keys() - _PROPERTIES[type_]):
        raise invalid(f"Encountered unsupported property {unknown[0]}")
    made: Callable[[Request, dict[str, Any], list[Undo]], dict[str, str]]
    made = _make_policy if type_ == _POLICY else _make_role
    return made(request, properties, undo)


def _make_policy(request: Request, properties: dict[str, Any], undo: list[Undo]) -> dict[str, str]:
    params: dict[str, Any] = {
        "PolicyName": properties["ManagedPolicyName"],
        "PolicyDocument": json.dumps(properties["PolicyDocument"]),
        **{key: properties[key] for key in ("Path", "Description") if key in properties},
    }
    arn = str(_iam(request, "CreatePolicy", params)["Policy"]["Arn"])
    undo.append(("DeletePolicy", {"PolicyArn": arn}))
    return {"Ref": arn, "PolicyArn": arn}


def _make_role(request: Request, properties: dict[str, Any], undo: list[Undo]) -> dict[str, str]:
    name = properties["RoleName"]
    optional = ("Path", "Description", "MaxSessionDuration", "PermissionsBoundary")
    params: dict[str, Any] = {
        "RoleName": name,
        "AssumeRolePolicyDocument": json.dumps(properties["AssumeRolePolicyDocument"]),
        **{key: properties[key] for key in optional if key in properties},
    }
    arn = str(_iam(request, "CreateRole", params)["Role"]["Arn"])
    undo.append(("DeleteRole", {"RoleName": name}))
    for policy in properties.get("ManagedPolicyArns") or ():
        attachment = {"RoleName": name, "PolicyArn": policy}
        _iam(request, "AttachRolePolicy", attachment)
        undo.append(("DetachRolePolicy", attachment))
    return {"Ref": name, "Arn": arn}


def _undo(request: Request, undo: list[Undo]) -> None:
    for operation, params in reversed(undo):
        _iam(request, operation, params)


def _iam(request: Request, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    answer = _IAM[operation](Request(request.store, request.principal, request.region, params))
    assert answer is not None, f"{operation} is moto's"
    return answer


def _key(request: Request, name: str) -> str:
    return f"stack:{request.principal.account}:{request.region}:{_name(name)}"


def _name(named: str) -> str:
    """Return the name of a stack that may be named by its ARN."""
    return named.split("/")[1] if named.startswith("arn:") else named


def _kept(request: Request, name: str) -> dict[str, Any]:
    text = request.store.setting(_key(request, name))
    if not text:
        raise invalid(f"Stack with id {name} does not exist")
    kept: dict[str, Any] = json.loads(text)
    return kept


HANDLERS: dict[str, Handler] = {
    "CreateStack": _create_stack,
    "DeleteStack": _delete_stack,
    "DescribeStacks": _describe_stacks,
}
