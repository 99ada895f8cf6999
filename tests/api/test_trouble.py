"""The API beside a database or a queue that is busy, read-only, silent, or elsewhere after a failover."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

import httpx
import pytest
import redis
from sqlalchemy import text
from tests.support.configs import document
from tests.support.exposition import samples_of
from tests.support.lives import create
from tests.support.postgres import Servers, both, execute, own_servers
from tests.support.proxy import proxy_to
from tests.support.serving import serving
from tests.support.waiting import until

from beta9_provisioning.api import readiness
from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.readiness import Readiness
from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import Queue, QueueUnavailable
from beta9_provisioning.local.services import embedded_valkey
from beta9_provisioning.operations.records import fairness
from beta9_provisioning.operations.records.store import lock_environment
from beta9_provisioning.settings import Settings

ENVIRONMENTS = "/api/v1/environments"


@pytest.fixture(scope="module")
def own() -> Iterator[Servers]:
    with own_servers() as servers:
        yield servers


def with_client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, trust_env=False)


def checks(response: httpx.Response) -> dict[str, bool]:
    return {name: check["ok"] for name, check in response.json()["checks"].items()}


def test_one_locked_environment_is_busy_and_holds_up_nobody_else(
    client: httpx.Client, sessions: Sessions, settings: Settings
) -> None:
    stuck = create(sessions, settings, name="stuck").environment_id
    other = create(sessions, settings, name="other").environment_id
    with sessions() as session, ThreadPoolExecutor(45) as pool:
        lock_environment(session, stuck)
        deletes = [pool.submit(client.delete, f"{ENVIRONMENTS}/{stuck}") for _ in range(45)]
        asked = [
            client.get(ENVIRONMENTS).status_code,
            client.get(f"{ENVIRONMENTS}/{stuck}").status_code,
            client.get("/health/ready").status_code,
            client.delete(f"{ENVIRONMENTS}/{other}").status_code,
        ]
        answers = [delete.result(60) for delete in deletes]
    assert asked == [200, 200, 200, 202]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:beta9-provisioning:problem:busy"
        assert answer.headers["retry-after"] == "5"
    assert client.delete(f"{ENVIRONMENTS}/{stuck}").status_code == 202


def test_a_database_that_turns_read_only_is_503_and_used_again_when_it_writes(
    own: Servers, settings: Settings
) -> None:
    url = own.primary.url
    with (
        serving(create_app(settings.model_copy(update={"database_url": url}))) as server,
        with_client(server.url) as client,
    ):
        assert client.post(ENVIRONMENTS, json=document()).status_code == 202
        _set_read_only(url, "on")
        try:
            refused = client.post(ENVIRONMENTS, json=document(name="second"))
            ready = client.get("/health/ready")
        finally:
            _set_read_only(url, "off")
        assert refused.status_code == 503
        assert refused.json()["type"].endswith(":database-unavailable")
        assert ready.status_code == 503
        assert checks(ready)["database"] is False
        assert client.post(ENVIRONMENTS, json=document(name="second")).status_code == 202
        assert client.get("/health/ready").status_code == 200


def test_a_restart_of_the_database_is_503_with_a_time_to_come_again_and_recovered_from(
    settings: Settings,
) -> None:
    with own_servers() as servers, proxy_to(servers.primary.url) as proxy:
        changed = settings.model_copy(update={"database_url": proxy.url})
        with serving(create_app(changed)) as server, with_client(server.url) as client:
            assert client.post(ENVIRONMENTS, json=document()).status_code == 202
            servers.primary.stop()
            for refused in (
                client.post(ENVIRONMENTS, json=document(name="second")),
                client.get(ENVIRONMENTS),
            ):
                assert refused.status_code == 503
                assert refused.json()["type"].endswith(":database-unavailable")
                assert refused.headers["retry-after"] == "5"
            servers.primary.start()
            proxy.lead_to(servers.primary.url)
            until(
                lambda: client.post(ENVIRONMENTS, json=document(name="second")).status_code == 202,
                "it is taken again",
            )
            assert len(client.get(ENVIRONMENTS).json()["items"]) == 2


def test_without_redis_a_create_is_accepted_and_waits_in_the_database(settings: Settings) -> None:
    with embedded_valkey() as url, proxy_to(url) as proxy:
        changed = settings.model_copy(update={"redis_url": proxy.url})
        with serving(create_app(changed)) as server, with_client(server.url) as client:
            proxy.cut()
            answer = client.post(ENVIRONMENTS, json=document())
            assert answer.status_code == 202
            assert answer.json()["operation"]["status"] == "queued"
    engine = connect(settings.database_url)
    with transaction(session_factory(engine)) as session:
        assert fairness.claimable(session) == [answer.json()["operation"]["id"]]
    engine.dispose()


def test_the_api_follows_a_failover_without_a_restart(settings: Settings) -> None:
    with own_servers() as servers:
        standby = servers.add_standby()
        everywhere = both(servers.primary.url, standby.url)
        only_standby = f"{standby.url}?target_session_attrs=any"
        with (
            serving(create_app(settings.model_copy(update={"database_url": everywhere}))) as server,
            serving(create_app(settings.model_copy(update={"database_url": only_standby}))) as other,
            with_client(server.url) as client,
        ):
            assert client.post(ENVIRONMENTS, json=document()).status_code == 202
            for path in ("/health/ready", ENVIRONMENTS):
                assert httpx.get(f"{other.url}{path}", timeout=60, trust_env=False).status_code == 503
            until(lambda: execute(standby.url, "SELECT count(*) FROM environments") == 1, "it has the row")
            servers.primary.stop()
            assert client.post(ENVIRONMENTS, json=document(name="second")).status_code == 503
            assert client.get("/health/ready").status_code == 503
            execute(standby.url, "SELECT pg_promote()")
            assert client.get("/health/ready").status_code == 200
            assert client.post(ENVIRONMENTS, json=document(name="second")).status_code == 202
            assert len(client.get(ENVIRONMENTS).json()["items"]) == 2
            assert httpx.get(f"{other.url}/health/ready", timeout=60, trust_env=False).status_code == 200


def test_requests_end_as_unavailable_while_the_database_is_silent(settings: Settings) -> None:
    with proxy_to(settings.database_url) as proxy:
        away = settings.model_copy(update={"database_url": proxy.url})
        with serving(create_app(away)) as server, with_client(server.url) as client:
            assert client.get(ENVIRONMENTS).status_code == 200
            proxy.freeze()
            with ThreadPoolExecutor(20) as pool:  # more than there are threads for requests
                answers = [pool.submit(client.get, ENVIRONMENTS) for _ in range(20)]
                statuses = {answer.result().status_code for answer in answers}
            proxy.heal()
            assert statuses == {503}
            assert client.get(ENVIRONMENTS).status_code == 200


def test_readiness_answers_though_the_database_is_silent(settings: Settings, queue: Queue) -> None:
    with proxy_to(settings.database_url) as proxy:
        willing = Readiness(proxy.url, settings.redis_url, seconds=30)
        assert asyncio.run(willing.report()).status == "ready"
        willing.close()
        hasty = Readiness(proxy.url, settings.redis_url, seconds=0.2)
        proxy.freeze()
        try:
            # Nothing but the bound ends this: the proxy holds every byte until it is healed below.
            reports = [asyncio.run(hasty.report()) for _ in range(3)]
        finally:
            proxy.heal()
        assert [report.status for report in reports] == ["unavailable"] * 3
        assert all(not report.checks["database"].ok for report in reports)
        until(lambda: asyncio.run(hasty.report()).status == "ready", "it is ready again")
        hasty.close()


def test_the_service_says_within_3_s_that_its_database_is_silent(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with proxy_to(settings.database_url) as proxy:
        away = settings.model_copy(update={"database_url": proxy.url})
        with serving(create_app(away)) as server, with_client(server.url) as client:
            assert client.get("/health/ready").status_code == 200
            proxy.freeze()
            ready = client.get("/health/ready")  # answers while the server is frozen
            proxy.heal()
    assert ready.status_code == 503
    assert checks(ready) == {"database": False, "schema": False, "queue": True}
    # It was this bound that ended it, and no later one of the connection.
    assert f"no answer within {readiness.DEFAULT_SECONDS:g} s" in caplog.text
    assert readiness.DEFAULT_SECONDS < 3


def test_a_scrape_waits_neither_for_requests_nor_for_a_database_that_is_silent(settings: Settings) -> None:
    """Prometheus took an API that was busy for one that is down."""
    with proxy_to(settings.database_url) as proxy:
        away = settings.model_copy(update={"database_url": proxy.url})
        with serving(create_app(away)) as server, with_client(server.url) as client:
            assert figures(client)["provisioning_database_up"] == 1
            proxy.freeze()
            with ThreadPoolExecutor(40) as pool:
                answers = [pool.submit(client.get, ENVIRONMENTS) for _ in range(40)]
                until(lambda: figures(client)["provisioning_api_requests_waiting"] > 0, "requests wait")
                # Those that wait came first, and the proxy holds every byte until it is healed below.
                found = figures(client)
                assert not any(answer.done() for answer in answers)
                proxy.heal()
    assert found["provisioning_database_up"] == 0
    assert found["provisioning_api_threads_in_use"] == found["provisioning_api_threads_max"] == 16


def figures(client: httpx.Client) -> dict[str, float]:
    """Return what /metrics tells without labels."""
    return {
        sample.name: sample.value for sample in samples_of(client.get("/metrics").text) if not sample.labels
    }


def test_a_redis_that_became_a_replica_is_not_ok_and_the_service_is_ready(settings: Settings) -> None:
    with embedded_valkey() as first, embedded_valkey() as second:
        replicas = settings.model_copy(update={"redis_url": first})
        with serving(create_app(replicas)) as server, with_client(server.url) as client:
            assert checks(client.get("/health/ready"))["queue"] is True
            _follow(first, second)
            response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    assert checks(response) == {"database": True, "schema": True, "queue": False}


def test_messages_go_to_the_new_primary_when_redis_has_become_a_replica() -> None:
    with embedded_valkey() as first, embedded_valkey() as second, proxy_to(first) as proxy:
        password = unquote(urlsplit(first).password or "")
        with redis.Redis.from_url(second) as client:
            client.config_set("requirepass", password)  # both primaries know the same users
        queue = Queue(proxy.url)
        queue.send("run_operation", "op_1")
        with redis.Redis.from_url(first) as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(QueueUnavailable):
            queue.send("run_operation", "op_2")
        with pytest.raises(QueueUnavailable):
            queue.check_writable()
        proxy.lead_to(second)
        queue.send("run_operation", "op_3")
        queue.check_writable()
        queue.close()


def test_the_public_answer_shows_no_text_of_an_error(settings: Settings) -> None:
    secret = "postgresql://somebody:s3cr3t@nowhere.invalid:5432/hidden"
    away = settings.model_copy(
        update={"database_url": secret, "redis_url": "redis://:s3cr3t@nowhere.invalid"}
    )
    with serving(create_app(away)) as server, with_client(server.url) as client:
        response = client.get("/health/ready")
    assert response.status_code == 503
    for word in ("s3cr3t", "somebody", "nowhere", "hidden", "Error"):
        assert word not in response.text
    assert "DATABASE_URL" in response.text
    assert "REDIS_URL" in response.text


def test_a_fault_of_the_database_shows_no_row_in_the_log(
    client: httpx.Client, sessions: Sessions, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with sessions() as session:
        session.execute(text("ALTER TABLE environments ADD CHECK (name <> 'never') NOT VALID"))
        session.commit()
    try:
        response = client.post(ENVIRONMENTS, json=document(name="never"))
    finally:
        with sessions() as session:
            session.execute(text("ALTER TABLE environments DROP CONSTRAINT environments_name_check"))
            session.commit()
    assert response.status_code == 500
    assert response.json()["type"].endswith(":internal")
    assert "23514" in caplog.text
    assert "INSERT INTO" not in caplog.text
    assert "Failing row" not in caplog.text


def _set_read_only(url: str, value: str) -> None:
    """Make all sessions of a server read-only, those too that are there already."""
    execute(url, f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    execute(url, "SELECT pg_reload_conf()")
    until(lambda: execute(url, "SHOW transaction_read_only") == value, "the server has heard it")


def _follow(replica: str, primary: str) -> None:
    where = urlsplit(primary)
    with redis.Redis.from_url(replica) as client:
        client.config_set("masterauth", unquote(where.password or ""))
        client.execute_command("REPLICAOF", where.hostname, str(where.port))
