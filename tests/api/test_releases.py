"""The API beside other releases: their schema, their configurations, their answers."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update
from tests.support.configs import config, document
from tests.support.lives import walk
from tests.support.serving import serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.migrate import init_db
from beta9_provisioning.operations.records.model import EnvironmentRow, IdempotencyRow, OperationRow
from beta9_provisioning.schemas.environment import Environment, EnvironmentPage
from beta9_provisioning.settings import Settings

URL = "/api/v1/environments"
KEY = {"Idempotency-Key": "abc-1"}
NEWER: dict[str, Any] = {
    **config().model_dump(mode="json"),
    "network": {"cidr": "10.0.0.0/16"},  # a field that this release does not know
    "cluster": {"profile": "gigantic"},  # and a value
}


class TestReadiness:
    @pytest.fixture
    def database(self, settings: Settings, empty_database_url: str) -> Settings:
        """Settings with a database of its own, at this program's revision."""
        init_db(empty_database_url)
        return settings.model_copy(update={"database_url": empty_database_url})

    def answer(self, settings: Settings, statement: str) -> httpx.Response:
        """Let a later release change the schema, then ask."""
        engine = connect(settings.database_url)
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()
        with serving(create_app(settings)) as server:
            return httpx.get(f"{server.url}/health/ready", timeout=20, trust_env=False)

    def test_stays_ready_after_a_later_migration_that_suits_it(self, database: Settings) -> None:
        answer = self.answer(database, "UPDATE alembic_version SET version_num = 'later'")
        assert answer.status_code == 200

    def test_says_that_the_database_is_too_new(self, database: Settings) -> None:
        statement = (
            "UPDATE alembic_version SET version_num = 'later';"
            "UPDATE schema_compatibility SET oldest_program = 'later'"
        )
        answer = self.answer(database, statement)
        assert answer.status_code == 503
        check = answer.json()["checks"]["schema"]
        assert check["code"] == "schema_newer"
        assert "replace it by a newer release" in check["detail"]


@pytest.fixture
def newer(client: httpx.Client, sessions: Sessions) -> str:
    """An environment that a later release configured."""
    environment_id = str(client.post(URL, json=document()).json()["environment_id"])
    with transaction(sessions) as session:
        session.get_one(EnvironmentRow, environment_id).config = NEWER
        session.execute(update(OperationRow).values(config=NEWER))
    return environment_id


class TestRequests:
    """Requests to a program whose database has the schema of another release."""

    def ask(self, settings: Settings, url: str) -> dict[str, Any]:
        other = settings.model_copy(update={"database_url": url})
        with serving(create_app(other)) as server, server.client() as client:
            answer = client.post(URL, json=document())
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        problem: dict[str, Any] = answer.json()
        return problem

    def test_to_one_that_is_newer_than_its_database_say_what_to_run(
        self, settings: Settings, empty_database_url: str, tmp_path: Path
    ) -> None:
        shutil.copy(next(schema.VERSIONS.glob("0001_*.py")), tmp_path)
        init_db(empty_database_url, versions=[tmp_path])
        problem = self.ask(settings, empty_database_url)
        assert problem["type"].endswith(":schema-older")
        assert "run `beta9-provisioning db init`" in problem["detail"]

    def test_to_one_that_is_older_than_its_database_say_what_to_replace(
        self, settings: Settings, empty_database_url: str
    ) -> None:
        init_db(empty_database_url)
        engine = connect(empty_database_url)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE operations RENAME COLUMN config_version TO version"))
            connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))
            connection.execute(text("UPDATE schema_compatibility SET oldest_program = 'later'"))
        engine.dispose()
        problem = self.ask(settings, empty_database_url)
        assert problem["type"].endswith(":schema-newer")
        assert "replace it by a newer release" in problem["detail"]


class TestConfigurations:
    def test_are_returned_as_they_were_stored(self, client: httpx.Client, newer: str) -> None:
        answer = client.get(f"{URL}/{newer}")
        assert answer.status_code == 200
        assert answer.json()["config"] == NEWER
        assert Environment.model_validate_json(answer.content).config == NEWER  # our client reads it, too
        items = EnvironmentPage.model_validate_json(client.get(URL).content).items
        assert [item.environment_id for item in items] == [newer]
        assert client.get(f"{URL}/{newer}/events").status_code == 200

    def test_do_not_hinder_a_change_or_a_delete(self, client: httpx.Client, newer: str) -> None:
        changed = client.patch(f"{URL}/{newer}", json={"deletion_protection": True})
        assert changed.json()["config"] == {**NEWER, "deletion_protection": True}
        client.patch(f"{URL}/{newer}", json={"deletion_protection": False})
        answer = client.delete(f"{URL}/{newer}")
        assert (answer.status_code, answer.json()["status"]) == (202, "destroy_queued")

    def test_of_another_release_still_give_a_kubeconfig(
        self, client: httpx.Client, sessions: Sessions, newer: str
    ) -> None:
        self.build(sessions, newer)
        answer = client.get(f"{URL}/{newer}/kubeconfig")
        assert answer.status_code == 200
        assert "arn:aws:iam::123456789012:role/Beta9Provisioner" in answer.text

    def test_whose_cloud_cannot_be_read_give_none_and_say_why(
        self, client: httpx.Client, sessions: Sessions, newer: str
    ) -> None:
        self.build(sessions, newer)
        with transaction(sessions) as session:
            row = session.get_one(EnvironmentRow, newer)
            row.provider = "moon"
            row.config = {**NEWER, "cloud": {"provider": "moon", "region": "crater-1"}}
        answer = client.get(f"{URL}/{newer}/kubeconfig")
        assert answer.status_code == 409
        assert answer.json()["type"].endswith(":configuration-not-readable")
        assert client.get(URL).json()["items"][0]["provider"] == "moon"

    def build(self, sessions: Sessions, environment_id: str) -> None:
        with transaction(sessions) as session:
            session.get_one(EnvironmentRow, environment_id).outputs = {
                "cluster_name": "beta9-x",
                "cluster_endpoint": "https://c.example.com",
                "cluster_ca": "Q0E=",
            }


def test_a_reason_of_a_newer_worker_is_shown_as_it_is(client: httpx.Client, sessions: Sessions) -> None:
    made = client.post(URL, json=document()).json()
    walk(sessions, made["operation"]["id"], OperationStatus.PLANNING)
    with transaction(sessions) as session:
        session.execute(update(OperationRow).values(reason="eaten_by_mice"))
    answer = client.get(f"{URL}/{made['environment_id']}")
    assert Environment.model_validate_json(answer.content).operation.reason == "eaten_by_mice"


class TestIdempotencyKeys:
    """What a release stored, another one replays."""

    def known(self, sessions: Sessions, **changes: Any) -> None:
        """Change the one key as if another release had stored it."""
        with transaction(sessions) as session:
            row = session.query(IdempotencyRow).one()
            for name, value in changes.items():
                setattr(row, name, value)

    def answer_without(self, client: httpx.Client, field: str) -> tuple[dict[str, Any], str]:
        """Create; return the answer and digest of a release in which this field did not exist yet."""
        answer = client.post(URL, json=document(), headers=KEY).json()
        del answer["config"][field]
        return answer, digest(answer["config"])

    def replays(self, client: httpx.Client, answer: dict[str, Any]) -> None:
        again = client.post(URL, json=document(), headers=KEY)
        assert (again.status_code, again.json()) == (202, answer)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == f"{URL}/{answer['environment_id']}"

    def test_same_body_after_a_release_that_adds_a_default(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        answer, old = self.answer_without(client, "deletion_protection")
        self.known(sessions, response=answer, request_digest=old)
        self.replays(client, answer)

    def test_a_key_of_0_1_0(self, client: httpx.Client, sessions: Sessions) -> None:
        answer = client.post(URL, json=document(), headers=KEY).json()
        self.known(sessions, body_digest=None)
        self.replays(client, answer)
        other = client.post(URL, json=document(name="other"), headers=KEY)
        assert other.json()["type"].endswith(":idempotency-key-reused")

    def test_a_key_of_0_1_0_after_a_release_that_adds_a_default(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        answer, old = self.answer_without(client, "deletion_protection")
        self.known(sessions, response=answer, request_digest=old, body_digest=None)
        self.replays(client, answer)

    def test_0_1_0_beside_us_replays_our_keys(self, client: httpx.Client, sessions: Sessions) -> None:
        client.post(URL, json=document(), headers=KEY)
        with sessions() as session:
            assert session.query(IdempotencyRow).one().request_digest == digest(
                config().model_dump(mode="json")
            )

    def test_what_is_refused_today_is_answered_as_it_was(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        answer = {**client.post(URL, json=document(), headers=KEY).json(), "status": "dreaming", "config": 1}
        body = b"no configuration any more"
        self.known(sessions, response=answer, body_digest=hashlib.sha256(body).hexdigest())
        again = client.post(URL, content=body, headers=KEY)
        assert (again.status_code, again.json()) == (202, answer)


def digest(configuration: dict[str, Any]) -> str:
    """As 0.1.0 computes it."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()
