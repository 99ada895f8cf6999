"""Secrets Manager: secrets of the API, and the values of all. One to be deleted keeps its name meanwhile."""

import uuid
from typing import Any

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.secret_rules import DELETED, check_name
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list
from beta9_simulator.cloud.store import NewObject, StoredObject
from beta9_simulator.cloud.templates import random_text

_TYPE = "aws_secretsmanager_secret"
_WINDOW_DAYS = 30
_PAGE = 100


def _create_secret(request: Request) -> dict[str, Any]:
    params, account = request.params, request.principal.account
    name = params["Name"]
    arn = f"arn:aws:secretsmanager:{request.region}:{account}:secret:{name}-{random_text('alnum', 6)}"
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}
    state = {
        "id": arn,
        "arn": arn,
        "name": name,
        "description": params.get("Description") or "",
        "kms_key_id": params.get("KmsKeyId"),
        "tags": tags,
        "tags_all": tags,
    }
    new = NewObject(account, request.region, _TYPE, arn, name, state, request.principal.identity, "api")

    def check() -> None:
        check_name(_named(request, name))

    version = str(uuid.uuid4())
    # Before the secret itself, which nobody ever sees without its value.
    request.store.execute(
        "insert or replace into secrets values(?,?,?,?,?,?)",
        *(arn, account, request.region, name, version, params.get("SecretString", "")),
    )
    try:
        request.store.create(new, check=check)
    except CloudError:
        request.store.execute("delete from secrets where arn=?", arn)
        raise
    return {"ARN": arn, "Name": name, "VersionId": version}


def _get_secret_value(request: Request) -> dict[str, Any]:
    wanted = request.params["SecretId"]
    owner = _named(request, wanted)
    if owner is not None and owner.state.get(DELETED):
        raise CloudError(
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        )
    rows = request.store.execute(
        "select arn,name,version,value from secrets where account=? and region=? and (arn=? or name=?)",
        *(request.principal.account, request.region, *([owner.id] * 2 if owner else [wanted] * 2)),
    )
    if not rows:
        raise _unknown()
    arn, name, version, value = rows[0]
    return {
        "ARN": arn,
        "Name": name,
        "VersionId": version,
        "SecretString": value,
        "VersionStages": ["AWSCURRENT"],
    }


def _delete_secret(request: Request) -> dict[str, Any]:
    wanted, params = request.params["SecretId"], request.params
    owner, forced = _named(request, wanted), params.get("ForceDeleteWithoutRecovery")
    if owner is None:
        # A forced delete of what does not exist is no error: "DeleteSecret" in the API reference.
        if forced:
            return {"ARN": wanted, "Name": wanted}
        raise _unknown()
    if forced:
        request.store.delete(owner)
        request.store.execute("delete from secrets where arn=?", owner.id)
    else:
        request.store.edit(owner, **{DELETED: params.get("RecoveryWindowInDays") or _WINDOW_DAYS})
    return {"ARN": owner.id, "Name": owner.name}


def _restore_secret(request: Request) -> dict[str, Any]:
    owner = _named(request, request.params["SecretId"])
    if owner is None:
        raise _unknown()
    request.store.edit(owner, **{DELETED: None})
    return {"ARN": owner.id, "Name": owner.name}


def _list_secrets(request: Request) -> dict[str, Any]:
    planned = request.params.get("IncludePlannedDeletion")
    found = [
        {"ARN": one.id, "Name": one.name, "Tags": tag_list(one.tags)}
        for one in request.find(_TYPE)
        if planned or not one.state.get(DELETED)
    ]
    size = int(request.params.get("MaxResults") or _PAGE)
    items, token = page(found, size, request.params.get("NextToken"))
    return {"SecretList": items, "NextToken": token}


def _named(request: Request, wanted: str) -> StoredObject | None:
    found = [one for one in request.find(_TYPE) if wanted in (one.id, one.name)]
    return next((one for one in found if one.status != "deleting"), None)


def _unknown() -> CloudError:
    return CloudError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")


HANDLERS: dict[str, Handler] = {
    "CreateSecret": _create_secret,
    "DeleteSecret": _delete_secret,
    "GetSecretValue": _get_secret_value,
    "ListSecrets": _list_secrets,
    "RestoreSecret": _restore_secret,
}
