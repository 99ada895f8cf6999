"""The OpenAPI document against the running service: schemathesis makes requests from it, good and bad."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from tests.support import callers
from tests.support.callers import bearer
from tests.support.configs import document
from tests.support.organized import Caller, caller
from tests.support.routes import application, guarded_routes
from tests.support.serving import Serving
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.access import keys
from beta9_provisioning.api.authentication import ORGANIZATION_HEADER
from beta9_provisioning.audit.record import PLATFORM
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.schemas.configuration import EnvironmentConfig

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


DOCUMENT = application().openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
# Of this one the key is no part: from what is part of it, requests are made that lack it.
WITH_KEY = schemathesis.openapi.from_dict(
    {name: part for name, part in DOCUMENT.items() if name != "security"}
    | {"components": {**DOCUMENT["components"], "securitySchemes": {}}}
)
OPERATIONS = [(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_service_does_what_its_document_says(
    *,
    guarded_api: Serving,
    guarded: httpx.Client,
    sessions: Sessions,
    path: str,
    method: str,
    mode: GenerationMode,
    pytestconfig: pytest.Config,
) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    known = ids_for(platform, sessions)

    def check(case: Any) -> None:
        if mode is GenerationMode.POSITIVE and ORGANIZATION_HEADER in case.headers:
            case.headers[ORGANIZATION_HEADER] = "default"  # nearly every other one is refused
        answer = case.call_and_validate(
            base_url=guarded_api.url,
            headers=bearer(platform.text),
            checks=CHECKS,
            timeout=GUARD_SECONDS,
        )
        assert answer.status_code != 401, answer.text

    fuzz(WITH_KEY[path][method], check, mode=mode, ids=known, pytestconfig=pytestconfig)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_nobody_gets_anything_without_a_key(
    *,
    guarded_api: Serving,
    guarded: httpx.Client,
    sessions: Sessions,
    path: str,
    method: str,
    mode: GenerationMode,
    pytestconfig: pytest.Config,
) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    known = ids_for(platform, sessions)
    is_open = DOCUMENT["paths"][path][method.lower()].get("security") == []

    def check(case: Any) -> None:
        # What is bad about a request is told to nobody who is not known, so bad data is not told apart.
        answer = case.call_and_validate(
            base_url=guarded_api.url,
            checks=[one for one in CHECKS if is_open or one is not checks.negative_data_rejection],
            timeout=GUARD_SECONDS,
        )
        # 404, 405: what is in the path or the method may have made it another one, which is nobody's secret.
        # And what is no HTTP comes to no route.
        is_no_http = answer.status_code == 400 and "problem:malformed-request" in answer.text
        assert is_open or answer.status_code in (401, 404, 405) or is_no_http, answer.text

    fuzz(SCHEMA[path][method], check, mode=mode, ids=known, pytestconfig=pytestconfig)


def ids_for(platform: Caller, sessions: Sessions) -> dict[str, str]:
    """Return an id of each kind; those of the caller itself would end it."""
    other = callers.member(sessions, Role.VIEWER)
    key_id = keys.id_of(callers.key(sessions, other))
    assert key_id
    made = platform.asks("POST", "/environments", json=document())
    return {
        "environment_id": made.json()["environment_id"],
        "organization_id": callers.organization(sessions, "other"),
        "member_id": other,
        "key_id": key_id,
    }


def fuzz(
    operation: Any,
    check: Callable[[Any], None],
    *,
    mode: GenerationMode,
    ids: dict[str, str],
    pytestconfig: pytest.Config,
) -> None:
    """Check requests of one operation, good or bad ones."""
    fixed = {name: id_ for name, id_ in ids.items() if f"{{{name}}}" in operation.path}
    fixed = fixed if mode is GenerationMode.POSITIVE else {}
    strategy = operation.as_strategy(generation_mode=mode, path_parameters=fixed or None)

    @given(case=strategy)
    @settings(
        max_examples=pytestconfig.getoption("cases"),
        derandomize=pytestconfig.getoption("hypothesis_seed") is None,  # the same cases in each `make test`
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Any) -> None:
        check(case)

    with suppress(Unsatisfiable):  # what takes no input has no bad input
        run()


def test_the_document_says_who_needs_a_key() -> None:
    assert DOCUMENT["components"]["securitySchemes"]["bearer"].items() >= {
        ("type", "http"),
        ("scheme", "bearer"),
    }
    assert DOCUMENT["security"] == [{"bearer": []}]
    declared = {
        (path, method.upper()): operation.get("security") == []
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    derived = {(route.path, route.method): route.is_open for route in guarded_routes(application())}
    assert declared == {key: derived[key] for key in declared}
    assert set(declared.values()) == {True, False}


def test_the_document_refused_the_organization_in_which_the_installations_audit_log_is() -> None:
    pattern = DOCUMENT["components"]["parameters"]["Organization"]["schema"]["pattern"]
    assert re.search(pattern, PLATFORM)
    assert re.search(pattern, "default")
    assert not re.search(pattern, "platforms")


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

    places = {tuple(reference.removeprefix("#/").split("/")) for reference in references(DOCUMENT)}
    for place in places:
        reduce(lambda part, name: part[name], place, DOCUMENT)  # raises when there is nothing
    assert ("components", "schemas", "Problem") in places
