"""The OpenAPI document: what FastAPI derives, and what it cannot know because we read bodies ourselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.schemas.environment import EnvironmentChanges, Event, Problem

_REF = "#/components/schemas/{model}"
_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Make the application serve its corrected document, built once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = document["components"]["schemas"]
    for name in _FASTAPI_ERRORS:
        schemas.pop(name, None)
    # Inputs differ from outputs: in a configuration that is sent, what has a default may be left out.
    _, sent = models_json_schema(
        [(EnvironmentConfig, "validation")], ref_template=_REF.replace("{model}", "{model}Sent")
    )
    schemas |= {f"{name}Sent": schema for name, schema in sent["$defs"].items()}
    _, received = models_json_schema(
        [
            (Problem, "serialization"),
            (Event, "serialization"),
            (EnvironmentChanges, "validation"),
        ],
        ref_template=_REF,
    )
    schemas |= received["$defs"]
    for path in document["paths"].values():
        for operation in path.values():
            _drop_fastapi_errors(operation["responses"])
    reference = {"schema": {"$ref": "#/components/schemas/EnvironmentConfigSent"}}
    document["paths"]["/api/v1/environments"]["post"]["requestBody"] = {
        "required": True,
        "content": {"application/json": reference, "application/yaml": reference},
    }
    changes = {"schema": {"$ref": "#/components/schemas/EnvironmentChanges"}}
    document["paths"]["/api/v1/environments/{environment_id}"]["patch"]["requestBody"] = {
        "required": True,
        "content": {"application/json": changes},
    }
    return document


def _drop_fastapi_errors(responses: dict[str, Any]) -> None:
    """Remove the 422 that FastAPI adds wherever there are parameters: ours are declared by the routes."""
    answer = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if answer.get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
