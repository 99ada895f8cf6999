"""Routes about the service itself: health, metrics and the configuration's schema."""

import hmac

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.access.errors import Unauthenticated
from beta9_provisioning.access.issuer_keys import IssuerUnavailable
from beta9_provisioning.api.authentication import authenticate, bearer
from beta9_provisioning.api.authorization import OPEN
from beta9_provisioning.api.dependencies import Services, ServicesDep
from beta9_provisioning.api.rates import LimitsUnknown, RateLimited
from beta9_provisioning.api.readiness import Report
from beta9_provisioning.kit.refused import Refused
from beta9_provisioning.schemas.configuration import json_schema

DOCUMENTATION = "/docs"
ASSETS = f"{DOCUMENTATION}/assets"
OPENAPI = "/api/v1/openapi.json"
SCHEMA = "/api/v1/schema"
router = APIRouter(tags=["service"])


class Health(BaseModel):
    """The process answers."""

    status: str = "healthy"
    service: str = "beta9-provisioning"


@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    """Point to the documentation: send a browser there, and tell anybody else where it is."""
    prefix = request.scope.get("root_path", "")
    headers = {"Vary": "Accept"}
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(prefix + DOCUMENTATION, headers=headers)
    places = {"documentation": DOCUMENTATION, "openapi": OPENAPI, "schema": SCHEMA, "health": "/health/ready"}
    return JSONResponse(
        {"service": "beta9-provisioning", **{name: prefix + path for name, path in places.items()}},
        headers=headers,
    )


@router.get("/health", openapi_extra=OPEN, summary="Is the process alive?")
async def health() -> Health:
    """Answer, whatever the state of database and queue, and however busy the request threads are."""
    return Health()


@router.get(
    "/health/ready",
    openapi_extra=OPEN,
    responses={503: {"model": Report, "description": "Not ready; the checks say why."}},
    summary="Can the service work?",
)
async def ready(request: Request, response: Response, services: ServicesDep) -> Report:
    """Check the database, its schema and the queue, within 3 s; without a queue requests wait.

    Strangers get no checks: the log has them.
    """
    result = await services.readiness.report()
    if result.status != "ready":
        response.status_code = 503
    return result if await _may_know(request, services, result) else Report(status=result.status)


@router.get(
    SCHEMA,
    openapi_extra=OPEN,
    response_class=JSONResponse,
    responses={200: {"content": {"application/schema+json": {"schema": {"type": "object"}}}}},
    summary="Get the configuration's JSON Schema",
)
def schema() -> JSONResponse:
    """Return the JSON Schema of a configuration, for editors."""
    return JSONResponse(json_schema(), media_type="application/schema+json")


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, services: ServicesDep) -> Response:
    """Return the metrics in Prometheus's text format, however busy the request threads are.

    Raises:
        Unauthenticated: there is METRICS_TOKEN, and the request has not got it.
        RateLimited: its address has shown too much that was not valid.
    """
    token = services.settings.metrics_token
    if token:
        given = bearer(request)
        services.rates.check_failures(request)
        # Not a key: metrics must come when the database is away, too.
        if not hmac.compare_digest(given.encode(), token.encode()):
            await services.rates.note_failure(request)
            raise Unauthenticated
    return Response(await services.metrics.page(), media_type=CONTENT_TYPE_LATEST)


async def _may_know(request: Request, services: Services, found: Report) -> bool:
    if services.settings.auth_mode == "none":
        return True
    # Probes show nothing, which is no failure. And nobody can be known while the database is away, nor shall
    # anybody wait for it here.
    if "authorization" not in request.headers or not found.checks["database"].ok:
        return False
    try:
        # Other routes are behind this already.
        services.rates.check_failures(request)
        await authenticate(request)
    except (Refused, IssuerUnavailable, RateLimited, LimitsUnknown, SQLAlchemyError):
        return False
    return True
