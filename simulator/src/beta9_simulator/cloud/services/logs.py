"""CloudWatch Logs: log groups, to look for and to delete; what is in them is nobody's affair here."""

from typing import Any

from beta9_simulator.cloud import deleting
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, page
from beta9_simulator.cloud.store import StoredObject

_TYPE = "aws_cloudwatch_log_group"
_PAGE = 50


def _describe_log_groups(request: Request) -> dict[str, Any]:
    prefix, pattern = (request.params.get(f"logGroupName{word}") or "" for word in ("Prefix", "Pattern"))
    if prefix and pattern:
        raise CloudError(
            "InvalidParameterException",
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        )
    found = [
        _log_group(one) for one in request.find(_TYPE) if one.name.startswith(prefix) and pattern in one.name
    ]
    size = int(request.params.get("limit") or _PAGE)
    items, token = page(found, size, request.params.get("nextToken"))
    return {"logGroups": items, "nextToken": token}


def _log_group(found: StoredObject) -> dict[str, Any]:
    days = found.state["retention_in_days"]
    return {
        "logGroupName": found.name,
        "arn": f"{found.state['arn']}:*",
        "creationTime": int(found.created_at * 1000),
        "storedBytes": 0,
        **({"retentionInDays": days} if days else {}),
    }


def _delete_log_group(request: Request) -> dict[str, Any]:
    found = request.find(_TYPE, name=request.params["logGroupName"])
    if not found:
        raise CloudError("ResourceNotFoundException", "The specified log group does not exist.")
    deleting.delete(request.store, found[0])
    return {}


HANDLERS: dict[str, Handler] = {
    "DescribeLogGroups": _describe_log_groups,
    "DeleteLogGroup": _delete_log_group,
}
