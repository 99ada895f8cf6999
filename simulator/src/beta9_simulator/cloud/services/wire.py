"""Between HTTP and boto3-shaped Python: which operation a request calls, and how its answer is written.

Parsing, routing and writing follow botocore's service models by way of moto's implementation of the
protocols.
"""

import threading
import uuid
from dataclasses import dataclass
from typing import Any

from moto.core.errors import COMMON_ERROR_CODES
from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from beta9_simulator.cloud.rules import CloudError

MODELS = {
    "sts": "sts",
    "eks": "eks",
    "ec2": "ec2",
    "iam": "iam",
    "rds": "rds",
    "elasticache": "elasticache",
    "tagging": "resourcegroupstaggingapi",
    "secretsmanager": "secretsmanager",
    "kms": "kms",
    "ssm": "ssm",
    "s3": "s3",
    "logs": "logs",
    "elb": "elb",
    "elbv2": "elbv2",
    "cloudformation": "cloudformation",
}
"""Signing names of the services this door knows, and the names of their models."""

_FORBIDDEN = (
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
)
# Errors that any service may answer with, and whose absence from a service's model moto would warn of.
COMMON_ERROR_CODES.extend((*_FORBIDDEN, "UnknownService", "UnsupportedOperation"))
# Loading a model is not safe when several threads do it at once.
_loading = threading.Lock()

_SHARED = "elasticloadbalancing"


def service_of(signing_name: str, http: Request) -> str:
    """Return the service that a request is for: two APIs of load balancers share a signing name."""
    if signing_name == _SHARED:
        return "elb" if http.values.get("Version") == "2012-06-01" else "elbv2"
    return signing_name


class _Refusal(ServiceException):
    """An error to write; a class of our own, since moto looks its own up by their module."""


@dataclass(frozen=True)
class Call:
    """One operation of one service, as a request asks for it."""

    service: str
    action: str
    params: dict[str, Any]
    model: OperationModel
    protocol: str


def understand(service: str, request: Request) -> Call | None:
    """Return the operation that a request calls, or None when the service has no such operation."""
    with _loading:
        model = get_service_model(MODELS[service])
        router = get_service_router(MODELS[service])
    try:
        operation, uri_params = router.match(request)
    except NotFound:
        return None
    protocol = determine_request_protocol(model, request.content_type)
    params = PROTOCOL_PARSERS[protocol](operation).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": uri_params,
        }
    )
    return Call(service, operation.name, params, operation, protocol)


def named(service: str, request: Request) -> tuple[str, dict[str, Any]] | None:
    """Return the operation that a request calls and its parameters; of S3's only those that name things.

    The contents of S3's requests may be large, and are nobody's business here, but for deletes of several.
    """
    if service != "s3":
        call = understand(service, request)
        return (call.action, call.params) if call else None
    with _loading:
        router = get_service_router(MODELS[service])
    try:
        operation, params = router.match(request)
    except NotFound:
        return None
    if operation.name == "DeleteObjects":
        call = understand(service, request)
        return (operation.name, call.params) if call else None
    more = {
        "VersionId": request.values.get("versionId"),
        "ObjectOwnership": request.headers.get("X-Amz-Object-Ownership"),
    }
    return operation.name, {**params, **more}


def answer(call: Call, result: dict[str, Any]) -> Response:
    """Write an operation's result as its service would."""
    return _written(call.service, call.model, call.protocol, result)


def refusal(service: str, error: CloudError, call: Call | None = None) -> Response:
    """Write an error as its service would; ``call`` is None when the request was not understood so far."""
    with _loading:
        model = get_service_model(MODELS.get(service, "sts"))
    operation = call.model if call is not None else OperationModel({}, model)
    protocol = call.protocol if call is not None else str(model.protocol)
    response = _written(service, operation, protocol, _Refusal(error.code, error.message))
    if error.code in _FORBIDDEN:
        response.status_code = 403
    return response


def _written(service: str, operation: OperationModel, protocol: str, result: Any) -> Response:
    serializer = get_serializer_class(MODELS.get(service, "sts"), protocol)
    request_id = str(uuid.uuid4())
    written = serializer(operation, SerializationContext(request_id)).serialize(result)
    headers = {**written["headers"], "x-amzn-RequestId": request_id}
    headers.setdefault("Content-Type", "text/xml")
    return Response(written["body"], status=written["status_code"], headers=headers)
