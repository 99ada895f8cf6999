"""Problem documents (RFC 9457): every error answer of the API is one; docs/api.md lists their types."""

import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from beta9_provisioning.access import errors as access
from beta9_provisioning.access.issuer_keys import IssuerUnavailable
from beta9_provisioning.api import auditing, faults, methods
from beta9_provisioning.api.bodies import BodyRefused, InvalidConfiguration
from beta9_provisioning.api.rates import WINDOW_SECONDS, Kind, LimitsUnknown, RateLimited
from beta9_provisioning.api.streams import TooManyStreams
from beta9_provisioning.environments import errors
from beta9_provisioning.kit import cursors
from beta9_provisioning.kit.database_errors import Trouble, describe, sqlstate, trouble
from beta9_provisioning.kit.refused import Refused
from beta9_provisioning.operations.records import schema
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.schemas.environment import EnvironmentChanges, FieldProblem, Problem

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "5"

_BODY_SLUGS = {
    400: "malformed-body",
    408: "request-timeout",
    413: "body-too-large",
    415: "unsupported-encoding",
}
_REFUSALS: dict[type[Refused], tuple[int, str]] = {
    errors.NotFound: (404, "environment-not-found"),
    errors.ConfigurationRefused: (422, "not-allowed-here"),
    errors.NameTaken: (409, "name-taken"),
    # Not 429: there is no use in trying again, and clients would.
    errors.QuotaExceeded: (403, "quota-exceeded"),
    errors.KeyReused: (422, "idempotency-key-reused"),
    errors.DeletionProtected: (409, "deletion-protected"),
    errors.OperationRunning: (409, "operation-running"),
    errors.NoCluster: (409, "no-cluster"),
    errors.NotReadable: (409, "configuration-not-readable"),
    cursors.BadCursor: (400, "invalid-request"),
    access.Unauthenticated: (401, "unauthenticated"),
    access.Forbidden: (403, "forbidden"),
    access.NoMember: (403, "no-member"),
    access.OrganizationUnclear: (400, "organization-unclear"),
    access.OrganizationNotFound: (404, "organization-not-found"),
    access.MemberNotFound: (404, "member-not-found"),
    access.KeyNotFound: (404, "key-not-found"),
    access.Taken: (409, "name-taken"),
    access.ExceedsOwnRights: (403, "exceeds-own-rights"),
    access.PlatformAdminsOnly: (403, "platform-admins-only"),
    access.LastPlatformAdmin: (409, "last-platform-admin"),
    access.OrganizationInUse: (409, "organization-in-use"),
    access.FirstOrganization: (409, "first-organization"),
    access.KeyEnded: (409, "key-ended"),
    access.NoOwnKeys: (409, "no-own-keys"),
    # Not 429, as above.
    access.TooManyKeys: (403, "too-many-keys"),
}
# RFC 6750: with nothing more, because every reason has the same answer.
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_CROSS_SITE = (
    "A page of another site may not change anything here. If the page is this service's own, a proxy changed "
    "the Host header on the way: have it pass Host on."
)
# Undefined table, undefined column: of a database that has another schema, or a fault of ours.
_UNDEFINED = ("42P01", "42703")


_TOO_MANY: dict[Kind, str] = {
    "address": "Your address has sent {most} requests in {window} s, as many as it may. Try again",
    "caller": "You have sent {most} requests in {window} s, as many as one caller may. Try again",
    "failures": "{most} requests of your address in {window} s had no valid key or token, and no more are "
    "looked at. Check what you send, and try again",
}


class InvalidHeader(Exception):
    """A header of the request cannot be understood."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name} {message}")
        self.name = name
        self.message = message


class CrossSite(Exception):
    """A page of another site made a browser send this request."""


def problem(
    request: Request,
    status: int,
    slug: str,
    detail: str,
    *,
    fields: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
    operation_id: str | None = None,
) -> JSONResponse:
    """Return the answer that carries a problem document; `operation_id` is in the way of the request."""
    instance = request.url.path
    told = document(status, slug, detail, instance=instance, fields=fields, operation_id=operation_id)
    return JSONResponse(
        told.model_dump(mode="json", exclude_none=True), status, dict(headers or {}), MEDIA_TYPE
    )


def document(
    status: int,
    slug: str,
    detail: str,
    *,
    instance: str | None = None,
    fields: Sequence[FieldProblem] = (),
    operation_id: str | None = None,
) -> Problem:
    """Return a problem document; `instance` is the request's path, the operation is in its way."""
    return Problem(
        type=f"urn:beta9-provisioning:problem:{slug}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        errors=list(fields),
        operation_id=operation_id,
    )


def install(app: FastAPI) -> None:
    """Make every expected error a problem document; `telemetry` answers the others by `internal`."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BodyRefused, _body_refused)
    app.add_exception_handler(InvalidConfiguration, _invalid_configuration)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(InvalidHeader, _invalid_header)
    app.add_exception_handler(CrossSite, _cross_site)
    app.add_exception_handler(TooManyStreams, _too_many_streams)
    app.add_exception_handler(IssuerUnavailable, _issuer_unavailable)
    app.add_exception_handler(RateLimited, rate_limited)
    app.add_exception_handler(LimitsUnknown, limits_unknown)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _database)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    status, slug = _REFUSALS[type(error)]
    fields = [
        FieldProblem(field=f.field, message=f.message, allowed=list(f.allowed) if f.allowed else None)
        for f in error.faults
    ]
    headers = _CHALLENGE if status == 401 else None
    auditing.note_refusal(request, slug)
    return problem(
        request,
        status,
        slug,
        error.message,
        fields=fields,
        headers=headers,
        operation_id=error.operation_id,
    )


def _body_refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BodyRefused)
    # What was not read of a body that is too large, or too slow, cannot be skipped: the connection ends.
    headers = {"Connection": "close"} if error.status in (408, 413) else None
    fields = [FieldProblem(field="body", message=error.message)]
    return problem(
        request, error.status, _BODY_SLUGS[error.status], error.message, fields=fields, headers=headers
    )


def _too_many_streams(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TooManyStreams)
    detail = (
        "Your address has as many event streams as one may have here. Close some, or have the operator raise "
        "MAX_STREAMS_PER_ADDRESS: behind a proxy all clients may seem to be one."
        if error.of_address
        else "You have as many event streams as one caller may have here. Close some, or have the operator "
        "raise MAX_STREAMS_PER_CALLER."
    )
    return problem(request, 429, "too-many-streams", detail, headers={"Retry-After": "10"})


def _invalid_configuration(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidConfiguration)
    fields = faults.of_body(error.cause, error.model)
    what = "configuration" if error.model in (EnvironmentConfig, EnvironmentChanges) else "request"
    return problem(request, 422, f"invalid-{what}", _summary(what, fields), fields=fields)


def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = faults.of_request(error.errors())
    return problem(request, 422, "invalid-request", _summary("request", fields), fields=fields)


def _invalid_header(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidHeader)
    fields = [FieldProblem(field=f"header.{error.name}", message=error.message)]
    return problem(request, 400, "invalid-request", _summary("request", fields), fields=fields)


def _cross_site(request: Request, _error: Exception) -> JSONResponse:
    return problem(request, 403, "cross-site", _CROSS_SITE)


def foreign_host(request: Request) -> JSONResponse:
    """Return the answer to a request for a host that is not ours."""
    given = ", ".join(request.headers.getlist("host"))[:200]
    detail = (
        f"The request is for the host {given!r}, which is none of this service's names. If it is one, add it "
        "to ALLOWED_HOSTS."
    )
    return problem(request, 421, "host-not-allowed", detail)


def _summary(what: str, fields: Sequence[FieldProblem]) -> str:
    first = f"{fields[0].field}: {fields[0].message}"
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    return f"The {what} is not valid. {first}{more}"


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug, detail = {
        404: ("no-such-path", f"There is nothing at {request.url.path[:200]}."),
        405: ("method-not-allowed", f"{request.method} is not possible here."),
    }.get(error.status_code, ("invalid-request", str(error.detail)))
    headers = error.headers
    if error.status_code == 405:  # the framework names the methods of one route, and a path has several
        headers = {**(headers or {}), "Allow": ", ".join(methods.of_path(request))}
    return problem(request, error.status_code, slug, detail, headers=headers)


def _database(request: Request, error: Exception) -> JSONResponse:
    """Answer 503 for a database that is away, busy or of another release; anything else is our error."""
    misfit, error = _misfit(request, error)
    kind: str
    if misfit is not None:
        kind, slug, detail = misfit.code, misfit.code.replace("_", "-"), misfit.message
    elif (kind := trouble(error)) is Trouble.BUSY:
        slug = "busy"
        detail = "Others are working on the same, or there are too many. Nothing was changed; try again."
    elif kind is Trouble.LOST:
        slug = "database-unavailable"
        detail = "The database cannot be reached. Nothing is lost; try again."
    else:
        # Not the exception itself: its text shows the statement and the row.
        stack = "".join(traceback.format_tb(error.__traceback__))
        log.error("database_fault", error=describe(error), stack=stack)
        return internal(request)
    log.warning("database_unavailable", kind=kind, error=describe(error))
    return problem(request, 503, slug, detail, headers={"Retry-After": RETRY_SECONDS})


def _misfit(request: Request, error: Exception) -> tuple[schema.Misfit | None, Exception]:
    """Return why the schema does not fit if the error may come from that, and the error to judge if not."""
    if sqlstate(error) not in _UNDEFINED:
        return None, error
    engine = request.app.state.services.engine
    assert isinstance(engine, Engine)
    try:
        with engine.connect() as connection:
            return schema.misfit(connection), error
    except SQLAlchemyError as later:
        return None, later


def internal(request: Request) -> JSONResponse:
    """Return the answer to an error that nobody expected; it shows nothing of the inside."""
    return problem(
        request, 500, "internal", "The service failed. Its log says why, under this answer's X-Request-ID."
    )


def too_many_requests(request: Request) -> JSONResponse:
    """Return the answer to a request that comes while too many others are worked on."""
    detail = "Too many requests and event streams are open here. Nothing was changed; try again."
    return problem(request, 503, "busy", detail, headers={"Retry-After": RETRY_SECONDS})


def stopping(request: Request) -> JSONResponse:
    """Return the answer to a request that a stop of the service has overtaken."""
    detail = "The service is being stopped, and could not answer before. Ask again: another one may."
    return problem(request, 503, "stopping", detail, headers={"Retry-After": "1"})


def _issuer_unavailable(request: Request, _error: Exception) -> JSONResponse:
    detail = (
        "Your token cannot be verified now: the keys of its issuer cannot be fetched, and the service's log "
        "says why. API keys work. Nothing was changed; try again."
    )
    return problem(request, 503, "issuer-unavailable", detail, headers={"Retry-After": RETRY_SECONDS})


def rate_limited(request: Request, error: Exception) -> JSONResponse:
    """Return the answer to a request that is one too many in its minute."""
    assert isinstance(error, RateLimited)
    reading = error.reading
    seconds = str(reading.reset)
    detail = f"{_TOO_MANY[reading.kind].format(most=reading.most, window=WINDOW_SECONDS)} in {seconds} s."
    return problem(request, 429, "rate-limited", detail, headers={"Retry-After": seconds})


def limits_unknown(request: Request, _error: Exception) -> JSONResponse:
    """Return the answer to a request that cannot be counted, where nothing passes uncounted."""
    detail = (
        "Requests cannot be counted because Redis is away, and none is taken without. Nothing was changed; "
        "try again. The operator can have them taken: RATE_LIMIT_WITHOUT_REDIS=open."
    )
    return problem(request, 503, "limits-unknown", detail, headers={"Retry-After": RETRY_SECONDS})


def responses(*statuses: int, success: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a route's problem answers, and of its 200 if that needs words."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    described: dict[int | str, dict[str, Any]] = {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in sorted({*statuses, 421, 429, 500, 503})
    }
    return described if success is None else {200: success, **described}


GUARDED = responses(400, 401, 403, 422)
"""The problem answers of every route that asks who is asking."""
