import re
import socket

import httpx
import pytest
import redis
from sqlalchemy import text
from tests.support.background import failures
from tests.support.configs import document
from tests.support.exposition import samples_of
from tests.support.lives import create, delete, walk
from tests.support.refusals import without_column
from tests.support.serving import serving
from tests.support.waiting import until

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions, connect
from beta9_provisioning.kit.queue import BACKLOG_KEY
from beta9_provisioning.lifecycle import EnvironmentStatus, OperationStatus
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.operations.records.migrate import init_db
from beta9_provisioning.schemas.configuration import json_schema
from beta9_provisioning.settings import Settings

S = OperationStatus
HEALTHY = {"status": "healthy", "service": "beta9-provisioning"}


@pytest.fixture
def no_database(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"database_url": f"postgresql://postgres:secret@127.0.0.1:{free_port()}/provisioning"}
    )


@pytest.fixture
def no_queue(settings: Settings) -> Settings:
    return settings.model_copy(update={"redis_url": f"redis://:secret@127.0.0.1:{free_port()}/0"})


def samples(client: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = client.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for sample in samples_of(response.text)
    }


def by_status(client: httpx.Client, name: str) -> dict[str, float]:
    return {
        dict(labels)["status"]: value for (found, labels), value in samples(client).items() if found == name
    }


class TestHealth:
    def test_says_exactly_this(self, client: httpx.Client) -> None:
        response = client.get("/health")
        assert (response.status_code, response.json()) == (200, HEALTHY)

    def test_needs_no_database(self, no_database: Settings) -> None:
        with serving(create_app(no_database)) as server, server.client() as client:
            assert client.get("/health").json() == HEALTHY


class TestReady:
    def test_when_everything_is_there(self, client: httpx.Client) -> None:
        response = client.get("/health/ready")
        assert response.status_code == 200
        assert response.json()["status"] == "ready"
        assert {name: check["ok"] for name, check in response.json()["checks"].items()} == {
            "database": True,
            "schema": True,
            "queue": True,
        }

    def test_without_a_worker_it_is_ready_and_says_that_there_is_none(self, client: httpx.Client) -> None:
        made = client.post("/api/v1/environments", json=document())
        assert made.status_code == 202
        found = client.get(f"/api/v1/environments/{made.json()['environment_id']}").json()
        assert (found["status"], found["live_workers"]) == ("queued", 0)
        assert samples(client)["provisioning_live_workers", ()] == 0
        assert client.get("/health/ready").status_code == 200

    def test_without_a_database(self, no_database: Settings) -> None:
        self._unavailable(no_database, {"database", "schema"}, "DATABASE_URL")

    def test_without_a_queue_work_goes_on(self, no_queue: Settings) -> None:
        with serving(create_app(no_queue)) as server:
            response = httpx.get(f"{server.url}/health/ready", timeout=20, trust_env=False)
        assert response.status_code == 200
        assert response.json()["status"] == "ready"
        assert response.json()["checks"]["queue"]["ok"] is False
        assert "REDIS_URL" in response.json()["checks"]["queue"]["detail"]

    def test_without_a_schema(self, settings: Settings, empty_database_url: str) -> None:
        empty = settings.model_copy(update={"database_url": empty_database_url})
        self._unavailable(empty, {"schema"}, "db init")

    def _unavailable(self, settings: Settings, failing: set[str], words: str) -> None:
        with serving(create_app(settings)) as server, server.client() as client:
            response = client.get("/health/ready")
        assert response.status_code == 503
        answer = response.json()
        assert answer["status"] == "unavailable"
        assert {name for name, check in answer["checks"].items() if not check["ok"]} == failing
        assert words in " ".join(check["detail"] for check in answer["checks"].values())
        assert "secret" not in response.text


class TestWithoutDatabase:
    def test_requests_answer_503_and_say_when_to_come_again(self, no_database: Settings) -> None:
        with serving(create_app(no_database)) as server, server.client() as client:
            for response in (
                client.get("/api/v1/environments"),
                client.post("/api/v1/environments", json=document()),
            ):
                assert response.status_code == 503
                assert response.headers["content-type"] == "application/problem+json"
                assert response.headers["retry-after"] == "5"
                assert response.json()["type"].endswith(":database-unavailable")
                assert "secret" not in response.text

    def test_a_missing_schema_says_what_to_do(self, settings: Settings, empty_database_url: str) -> None:
        empty = settings.model_copy(update={"database_url": empty_database_url})
        with serving(create_app(empty)) as server, server.client() as client:
            response = client.get("/api/v1/environments")
        assert response.status_code == 503
        assert response.json()["type"].endswith(":schema-missing")
        assert "beta9-provisioning db init" in response.json()["detail"]

    def test_a_commit_that_fails_is_no_202(self, settings: Settings, empty_database_url: str) -> None:
        init_db(empty_database_url)
        engine = connect(empty_database_url)
        with engine.begin() as connection:
            # A check that runs at commit, and ends the connection then.
            connection.execute(
                text(
                    "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                    "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
                )
            )
            connection.execute(
                text(
                    "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON environments "
                    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"
                )
            )
        engine.dispose()
        other = settings.model_copy(update={"database_url": empty_database_url})
        with serving(create_app(other)) as server, server.client() as client:
            response = client.post("/api/v1/environments", json=document())
            assert response.status_code == 503
            assert client.get("/api/v1/environments").json()["items"] == []


class TestUnexpectedErrors:
    def test_show_nothing_of_the_inside(self, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
        app = create_app(settings)

        @app.get("/broken")
        def broken() -> None:
            raise RuntimeError("the password is tr0ub4dor")

        with serving(app) as server, server.client() as client:
            response = client.get("/broken")
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"].endswith(":internal")
        assert "tr0ub4dor" not in response.text
        assert response.headers["x-request-id"]
        assert "the password is tr0ub4dor" in caplog.text


class TestWithoutQueue:
    def test_a_create_is_taken(self, no_queue: Settings) -> None:
        with serving(create_app(no_queue)) as server, server.client() as client:
            response = client.post("/api/v1/environments", json=document())
        assert response.status_code == 202

    def test_a_queue_that_never_answers_delays_no_create(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Who waits for the queue waits until the test has ended.
        monkeypatch.setattr("beta9_provisioning.kit.queue._TIMEOUT_SECONDS", 3600.0)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
            app = create_app(settings.model_copy(update={"redis_url": address}))
            with serving(app) as server, server.client() as client:
                for number in range(4):
                    body = document(name=f"demo-{number}")
                    assert client.post("/api/v1/environments", json=body).status_code == 202


class TestHints:
    def test_a_create_and_a_delete_are_told_to_the_workers(
        self, client: httpx.Client, redis_url: str
    ) -> None:
        first = client.post("/api/v1/environments", json=document()).json()
        second = client.delete(f"/api/v1/environments/{first['environment_id']}").json()
        wanted = [first["operation"]["id"], second["operation"]["id"]]
        with redis.Redis.from_url(redis_url) as connection:
            until(lambda: connection.llen(BACKLOG_KEY) == 2, "both hints are sent")
            messages = connection.hgetall(f"{BACKLOG_KEY}.msgs")
        text = b" ".join(messages.values()).decode()
        assert all(operation in text for operation in wanted)
        assert "run_operation" in text


class TestMetrics:
    def test_all_statuses_are_there_from_the_start(self, client: httpx.Client) -> None:
        entered = by_status(client, "provisioning_environments_total")
        assert entered == dict.fromkeys(EnvironmentStatus, 0.0)
        assert by_status(client, "provisioning_environment_created_at") == {}

    def test_figures_come_from_history(
        self, client: httpx.Client, sessions: Sessions, settings: Settings
    ) -> None:
        first = create(sessions, settings, name="first")
        second = create(sessions, settings, name="second")
        walk(sessions, first.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
        entered = by_status(client, "provisioning_environments_total")
        assert (entered["queued"], entered["ready"], entered["failed"]) == (2, 1, 0)
        assert by_status(client, "provisioning_environment_created_at") == {
            "queued": pytest.approx(second.operation.created_at.timestamp())
        }
        found = samples(client)
        kind, outcome = ("kind", "provision"), ("outcome", "succeeded")
        assert found["provisioning_duration_seconds_count", (kind, outcome)] == 1
        assert found["provisioning_duration_seconds_bucket", (kind, ("le", "+Inf"), outcome)] == 1
        delete(sessions, second.environment_id)
        assert set(by_status(client, "provisioning_environment_created_at")) == {"destroy_queued"}

    def test_the_backlog_has_both_labels(self, client: httpx.Client, redis_url: str) -> None:
        with redis.Redis.from_url(redis_url) as connection:
            connection.rpush(BACKLOG_KEY, "a", "b")
        labels = (("queue", "provisioning:jobs"), ("queue_name", "provisioning.jobs"))
        assert samples(client)["redis_queue_length", labels] == 2

    def test_labels_hold_no_ids_and_no_made_up_paths(self, client: httpx.Client) -> None:
        environment_id = client.post("/api/v1/environments", json=document()).json()["environment_id"]
        client.get(f"/api/v1/environments/{environment_id}")
        client.head(f"/api/v1/environments/{environment_id}/events")
        client.get("/made/up")
        client.request("BREW", "/health")
        page = client.get("/metrics").text
        assert environment_id not in page
        assert "made" not in page
        assert "BREW" not in page
        routes = set(re.findall(r'provisioning_api_requests_total\{.*?route="([^"]*)"', page))
        one = "/api/v1/environments/{environment_id}"
        assert {"other", "/api/v1/environments", one, f"{one}/events"} <= routes

    def test_without_a_database_it_says_so(self, no_database: Settings) -> None:
        with serving(create_app(no_database)) as server, server.client() as client:
            found = samples(client)
        assert found["provisioning_database_up", ()] == 0
        assert not any(name.startswith("provisioning_environment") for name, _ in found)
        assert any(name == "redis_queue_length" for name, _ in found)

    def test_figures_that_the_database_refuses_are_our_fault_and_not_its(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        counted = failures("metrics")
        with without_column(sessions, "statistics", "total"):
            found = samples(client)
        assert found["provisioning_database_up", ()] == 1
        assert not any(name.startswith("provisioning_environment") for name, _ in found)
        assert failures("metrics") == counted + 1

    def test_without_a_queue_it_says_so(self, no_queue: Settings) -> None:
        with serving(create_app(no_queue)) as server, server.client() as client:
            found = samples(client)
        assert found["provisioning_queue_up", ()] == 0
        assert not any(name == "redis_queue_length" for name, _ in found)
        assert found["provisioning_database_up", ()] == 1


def test_the_schema_is_served(client: httpx.Client) -> None:
    response = client.get("/api/v1/schema")
    assert response.headers["content-type"] == "application/schema+json"
    assert response.json() == json_schema()
