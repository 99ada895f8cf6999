"""The OpenAPI document against the running service: schemathesis makes requests from it, good and bad."""

from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from tests.support.configs import document
from tests.support.serving import Serving
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.api.app import create_app
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings

# Unknown ids are legitimate answers, so what a request gets is not checked, only that it was announced.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


DOCUMENT = create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_service_does_what_its_document_says(
    *,
    api: Serving,
    client: httpx.Client,
    path: str,
    method: str,
    mode: GenerationMode,
    pytestconfig: pytest.Config,
) -> None:
    known = client.post("/api/v1/environments", json=document()).json()["environment_id"]
    fixed = {"environment_id": known} if "{" in path and mode is GenerationMode.POSITIVE else None
    strategy = SCHEMA[path][method].as_strategy(generation_mode=mode, path_parameters=fixed)

    @given(case=strategy)
    @settings(
        max_examples=pytestconfig.getoption("cases"),
        derandomize=pytestconfig.getoption("hypothesis_seed") is None,  # the same cases in each `make test`
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        case.call_and_validate(base_url=api.url, checks=CHECKS, timeout=GUARD_SECONDS)

    with suppress(Unsatisfiable):  # what takes no input has no bad input
        check()


def test_a_sent_configuration_may_leave_out_what_has_a_default() -> None:
    body = DOCUMENT["paths"]["/api/v1/environments"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "application/yaml"}
    reference = body["application/json"]["schema"]["$ref"]
    sent = DOCUMENT["components"]["schemas"][reference.rsplit("/", 1)[1]]
    assert sent["required"] == EnvironmentConfig.model_json_schema()["required"]


def test_every_reference_leads_somewhere() -> None:

    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for value in part.values() for found in references(value)]
        if isinstance(part, list):
            return [found for value in part for found in references(value)]
        return []

    names = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert names <= set(DOCUMENT["components"]["schemas"])
    assert "Problem" in names
