"""Refusals of the API, as the ``Status`` objects that Kubernetes clients understand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beta9_simulator.cluster.resources import Resource

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """A request is refused; carries what the client is told."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.details = details or {}
        self.headers = headers or {}

    def status(self) -> dict[str, Any]:
        """The body of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def not_found(resource: Resource, name: str) -> ApiError:
    """404: no object of that name."""
    return ApiError(404, f'{resource.label} "{name}" not found', details=_details(resource, name))


def forbidden(resource: Resource, user: str, method: str) -> ApiError:
    """403: the user may not do this to objects of the type."""
    verb = {"GET": "list", "POST": "create", "PUT": "update"}.get(method, method.lower())
    message = (
        f'{resource.label} is forbidden: User "{user}" cannot {verb} resource "{resource.plural}" in API '
        f'group "{resource.group}" at the cluster scope'
    )
    return ApiError(403, message, details={"group": resource.group, "kind": resource.plural})


def no_such_resource() -> ApiError:
    """404: the path names no resource."""
    return ApiError(404, "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> ApiError:
    """409: the name is taken."""
    message = f'{resource.label} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """409: somebody else changed the object meanwhile."""
    message = f'Operation cannot be fulfilled on {resource.label} "{name}": {why}'
    return ApiError(409, message, details=_details(resource, name))


def invalid(resource: Resource, name: str, field: str, why: str) -> ApiError:
    """422: the object breaks a rule; ``field`` is the path of the culprit."""
    message = f'{resource.kind} "{name}" is invalid: {field}: {why}'
    details = {**_details(resource, name), "kind": resource.kind}
    details["causes"] = [{"reason": "FieldValueInvalid", "message": why, "field": field}]
    return ApiError(422, message, details=details)


@contextmanager
def refusing_wrong_types(kind: str) -> Iterator[None]:
    """Turns the stumbling of code over a body of unexpected shape into a 400, as real decoding would."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        message = f"the body cannot be handled as a {kind}: a field has the wrong type ({error})"
        raise ApiError(400, message) from error


def _details(resource: Resource, name: str) -> dict[str, Any]:
    return {"name": name, "group": resource.group, "kind": resource.plural}
