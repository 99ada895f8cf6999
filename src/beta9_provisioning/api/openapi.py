"""The OpenAPI document: what FastAPI derives, and what it cannot know.

We read bodies ourselves, and look at the headers that say who is asking, and where.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from beta9_provisioning.access.organizations import ID_PATTERN
from beta9_provisioning.api.authentication import ORGANIZATION_HEADER
from beta9_provisioning.audit.record import PLATFORM
from beta9_provisioning.schemas.callers import KeyNew, KeyRotation, MemberChanges, MemberNew, OrganizationNew
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.schemas.environment import EnvironmentChanges, Event, Problem

_REF = "#/components/schemas/{model}"
_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")
_JSON = ("application/json",)
_JSON_OR_YAML = ("application/json", "application/yaml")
# What may be sent where, as what, and whether it must be.
_BODIES: dict[tuple[str, str], tuple[str, tuple[str, ...], bool]] = {
    ("/api/v1/environments", "post"): (
        "EnvironmentConfigSent",
        ("application/json", "application/yaml"),
        True,
    ),
    ("/api/v1/environments/{environment_id}", "patch"): ("EnvironmentChanges", _JSON, True),
    ("/api/v1/organizations", "post"): ("OrganizationNew", _JSON, True),
    ("/api/v1/members", "post"): ("MemberNew", _JSON, True),
    ("/api/v1/members/{member_id}", "patch"): ("MemberChanges", _JSON, True),
    ("/api/v1/keys", "post"): ("KeyNew", _JSON, True),
    ("/api/v1/keys/{key_id}/rotate", "post"): ("KeyRotation", _JSON, False),
}
_SENT: tuple[type[BaseModel], ...] = (
    EnvironmentChanges,
    OrganizationNew,
    MemberNew,
    MemberChanges,
    KeyNew,
    KeyRotation,
)
_BEARER = {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the OIDC issuer."}
_ORGANIZATION = {
    "name": ORGANIZATION_HEADER,
    "in": "header",
    "description": "Id of the organization to act in, for those who may act in several; "
    f"of `{PLATFORM}` platform admins read the installation's own audit log.",
    "schema": {"type": "string", "pattern": f"^{PLATFORM}$|{ID_PATTERN}"},
}


def install(app: FastAPI) -> None:
    """Make the application serve its corrected document, built once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = document["components"]
    schemas = components["schemas"]
    for name in _FASTAPI_ERRORS:
        schemas.pop(name, None)
    # Inputs differ from outputs: in a configuration that is sent, what has a default may be left out.
    _, sent = models_json_schema(
        [(EnvironmentConfig, "validation")], ref_template=_REF.replace("{model}", "{model}Sent")
    )
    schemas |= {f"{name}Sent": schema for name, schema in sent["$defs"].items()}
    _, others = models_json_schema(
        [
            (Problem, "serialization"),
            (Event, "serialization"),
            *((model, "validation") for model in _SENT),
        ],
        ref_template=_REF,
    )
    schemas |= others["$defs"]
    components["securitySchemes"] = {"bearer": _BEARER}
    components["parameters"] = {"Organization": _ORGANIZATION}
    document["security"] = [{"bearer": []}]
    for path, method, operation in _operations(document):
        _drop_fastapi_errors(operation["responses"])
        if "security" not in operation:  # it is not open
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/Organization"})
        if (path, method) in _BODIES:
            operation["requestBody"] = _body(*_BODIES[path, method])
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _body(model: str, media_types: tuple[str, ...], is_required: bool) -> dict[str, Any]:
    reference = {"schema": {"$ref": _REF.format(model=model)}}
    return {"required": is_required, "content": dict.fromkeys(media_types, reference)}


def _drop_fastapi_errors(responses: dict[str, Any]) -> None:
    """Remove the 422 that FastAPI adds wherever there are parameters: ours are declared by the routes."""
    answer = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if answer.get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
