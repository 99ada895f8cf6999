"""Every attack in every field of a configuration: refused by name, or kept as it was sent."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.security.attacks import KINDS, attacks
from tests.security.fields import ITEM, KEY, VALUE, Field, fields

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import EnvironmentRow
from beta9_provisioning.schemas.configuration import json_schema

URL = "/api/v1/environments"
FIELDS = fields(json_schema())


def test_every_field_of_the_schema_is_attacked(client: httpx.Client) -> None:
    """The list comes from the schema that the service gives to everybody."""
    assert fields(client.get("/api/v1/schema").json()) == FIELDS
    paths = {str(field) for field in FIELDS}
    assert paths >= {"name", "cloud.external_id", "cluster.node_taints.[].key", "tags.{key}", "tags.{value}"}
    schema: dict[str, Any] = json_schema()
    schema["$defs"]["Beta9"]["properties"]["motto"] = {"type": "string"}
    assert {str(field) for field in fields(schema)} - paths == {"beta9.motto"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_is_refused_by_name_or_kept_as_it_is(
    client: httpx.Client, sessions: Sessions, kind: str
) -> None:
    kept: dict[str, tuple[Field, str]] = {}
    for field in FIELDS:
        for number, attack in enumerate(attacks(kind)):
            sent = field.holding(attack)
            if str(field) != "name":
                sent["name"] = f"a{FIELDS.index(field)}-{number}"
            answer = client.post(URL, content=json.dumps(sent))
            where = f"{attack[:80]!a} in {field}: {answer.status_code} {answer.text[:500]}"
            if answer.status_code == 202:
                kept[answer.json()["environment_id"]] = field, attack
            else:
                assert answer.headers["content-type"] == "application/problem+json", where
                assert is_named(field, attack, answer), where
                assert len(answer.content) < 16 * 1024, where
    with transaction(sessions) as session:
        stored = {row.id: row.config for row in session.scalars(select(EnvironmentRow))}
    assert set(stored) == set(kept)  # no refused one was made, and no statement of SQL was carried out
    for environment_id, (field, attack) in kept.items():
        assert holds(stored[environment_id], field, attack), f"{attack!a} in {field}"


def is_named(field: Field, attack: str, answer: httpx.Response) -> bool:
    """Tell whether a refusal says which field it is about: this one, or the section that it is in."""
    problem = answer.json()
    if answer.status_code == 400:  # what no database could store is found before there are fields
        parent = path_of(field, "")
        where = f"a key of {parent[:-1] or 'the body'}, " if field.path[-1] == KEY else f"in {parent}, "
        return where in problem["detail"]
    path = path_of(field, attack)
    names = [error["field"] for error in problem["errors"]]
    # Of a key, only the beginning is told; pydantic adds that it is one.
    return answer.status_code == 422 and any(path.startswith(name.removesuffix(".[key]")) for name in names)


def path_of(field: Field, attack: str) -> str:
    """Return a field's path as the API tells it; that of a key is the key."""
    given = {KEY: attack[:100], VALUE: "k0", ITEM: "0"}
    return ".".join(given.get(part, part) for part in field.path)


def holds(config: dict[str, Any], field: Field, attack: str) -> bool:
    """Tell whether a stored configuration has the attack where it was sent, letter for letter."""
    place: Any = config
    for part in field.path[:-1]:
        place = place[0 if part == ITEM else part]
    last = field.path[-1]
    found = list(place) if last in (KEY, ITEM) else [place["k0" if last == VALUE else last]]
    return found == [attack]
