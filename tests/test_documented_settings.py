"""Rules: every setting is documented, and what is derived from the code has not drifted from it."""

import json
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML
from tests.support.configs import document
from tests.support.documents import DOCUMENTS, ROOT

from beta9_provisioning.settings import Settings


@pytest.mark.parametrize("path", DOCUMENTS)
def test_derived_documents_are_up_to_date(path: str) -> None:
    committed = (ROOT / path).read_text()
    assert committed == DOCUMENTS[path](), "run: python -m tests.support.documents"


@pytest.mark.parametrize("path", ["docs/configuration.md", ".env.example"])
@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(path: str, name: str) -> None:
    assert name.upper() in (ROOT / path).read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_means(name: str) -> None:
    meaning = Settings.model_fields[name].description
    assert meaning
    assert len(meaning) > 10


def test_the_example_file_holds_the_defaults() -> None:
    example = Settings(_env_file=ROOT / ".env.example")  # type: ignore[call-arg]
    assert example == Settings()


def test_the_guides_defaults_are_kept() -> None:
    settings = Settings()
    assert settings.database_url == "postgresql://postgres:postgres@localhost:5432/provisioning"
    assert settings.redis_url == "redis://localhost:6379/0"
    assert str(settings.workdir_base) == "/tmp/beta9-provisioning"
    assert settings.max_environments_per_user == 10
    assert settings.log_level == "INFO"
    guide = {"us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1"}
    assert guide <= set(settings.allowed_regions)


def test_regions_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_REGIONS", "us-east-1, eu-west-1,")
    assert Settings().allowed_regions == ("us-east-1", "eu-west-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x"),
        ("MAX_ENVIRONMENTS_PER_USER", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("API_PORT", "70000"),
    ],
)
def test_bad_values_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name.lower()):
        Settings()


@pytest.mark.parametrize(
    ("changes", "is_valid"),
    [
        ({}, True),
        ({"extra": 1}, False),
        ({"cloud__account_id": 123456789012}, False),
        ({"name": "No!"}, False),
    ],
)
def test_the_published_schema_judges_as_the_service_does(changes: dict[str, Any], is_valid: bool) -> None:
    schema = jsonschema_rs.validator_for(json.loads((ROOT / "docs/schema/environment.json").read_text()))
    assert schema.is_valid(document(**changes)) is is_valid


def test_the_published_schema_accepts_the_example() -> None:
    schema = jsonschema_rs.validator_for(json.loads((ROOT / "docs/schema/environment.json").read_text()))
    assert schema.is_valid(YAML(typ="safe", pure=True).load((ROOT / "example-config.yaml").read_text()))
