import json
import logging
import socket
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update
from tests.support.configs import document
from tests.support.lives import walk
from tests.support.serving import Serving
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.api.bodies import MAX_BODY
from beta9_provisioning.environments import ids
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.model import EnvironmentRow, IdempotencyRow, OperationRow
from beta9_provisioning.operations.records.store import Failure, fail
from beta9_provisioning.schemas.environment import Environment, Problem

ROOT = Path(__file__).parents[2]
URL = "/api/v1/environments"
TELEMETRY = "beta9_provisioning.api.telemetry"
S = OperationStatus


def post(client: httpx.Client, **changes: Any) -> httpx.Response:
    return client.post(URL, json=document(**changes))


def created(client: httpx.Client, **changes: Any) -> str:
    response = post(client, **changes)
    assert response.status_code == 202, response.text
    return str(response.json()["environment_id"])


def problem(response: httpx.Response, status: int, slug: str) -> Problem:
    """Check that an answer is this problem document, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(response.content)
    assert found.type == f"urn:beta9-provisioning:problem:{slug}"
    assert (found.status, found.instance) == (status, response.request.url.path)
    assert found.title
    assert found.detail
    return found


def fields(found: Problem) -> dict[str, str]:
    return {error.field: error.message for error in found.errors}


def total(client: httpx.Client) -> int:
    return len(client.get(URL).json()["items"])


def _taint(**taint: str) -> dict[str, Any]:
    return {"cluster__node_taints": [{"key": "a", **taint}]}


class TestCreate:
    def test_answers_202_with_the_environment(self, client: httpx.Client) -> None:
        response = post(client)
        assert response.status_code == 202
        answer = Environment.model_validate_json(response.content)
        assert ids.is_id(answer.environment_id)
        assert response.json()["status"] == "queued"
        assert response.headers["location"] == f"{URL}/{answer.environment_id}"
        assert client.get(response.headers["location"]).json() == {**response.json(), "live_workers": 0}

    def test_the_guides_curl_command_works(self, api: Serving, client: httpx.Client) -> None:
        command = ["curl", "--silent", "--show-error", "-X", "POST", f"{api.url}{URL}"]
        command += ["-H", "Content-Type: application/json", "-d", "@example-config.yaml"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        assert (answer["status"], answer["name"]) == ("queued", "demo")
        assert answer["environment_id"].startswith("env_")

    def test_curl_with_ordinary_yaml_is_told_to_keep_newlines(
        self, api: Serving, client: httpx.Client, tmp_path: Path
    ) -> None:
        (tmp_path / "config.yaml").write_text("name: demo\ncloud:\n  provider: aws\n")
        command = ["curl", "--silent", "-d", "@config.yaml", f"{api.url}{URL}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["status"] == 400
        assert "--data-binary" in json.loads(done.stdout)["detail"]

    @pytest.mark.parametrize("media_type", ["application/yaml", "application/json", "text/plain", None])
    def test_the_media_type_does_not_matter(self, client: httpx.Client, media_type: str | None) -> None:
        headers = {"Content-Type": media_type} if media_type else {}
        for number, body in enumerate((json.dumps(document()), "name: demo\n" + _yaml_without_name())):
            response = client.post(URL, content=body.replace("demo", f"demo{number}"), headers=headers)
            assert response.status_code == 202, response.text

    @pytest.mark.parametrize(
        ("changes", "field", "words", "allowed"),
        [
            ({"extra": 1}, "extra", "unknown field", "deletion_protection"),
            ({"cluster__profil": "small"}, "cluster.profil", "unknown field", "profile"),
            ({"name": "Demo!"}, "name", "pattern", None),
            ({"name": "x" * 41}, "name", "40", None),
            ({"name": 5}, "name", "string", None),
            ({"cloud__provider": "azure"}, "cloud.provider", "aws", "gcp"),
            ({"cloud__region": "mars-1"}, "cloud.region", "ALLOWED_REGIONS", "us-east-1"),
            ({"cloud__account_id": 123456789012}, "cloud.account_id", "quote it", None),
            ({"cloud__account_id": "123"}, "cloud.account_id", "twelve digits", None),
            (
                {"cloud__role_arn": "arn:aws:iam::123456789012:role/Admin"},
                "cloud.role_arn",
                "Beta9Provisioner",
                None,
            ),
            (
                {"cloud__role_arn": "arn:aws:iam::999999999999:role/Beta9Provisioner"},
                "cloud.role_arn",
                "999999999999",
                None,
            ),
            ({"cloud__role_arn": "nonsense"}, "cloud.role_arn", "not an IAM role", None),
            ({"cloud__role_arn": None}, "cloud.role_arn", "required", None),
            ({"cloud": "aws"}, "cloud", "", None),
            ({"data__postgres__storage_gb": "20"}, "data.postgres.storage_gb", "integer", None),
            ({"data__postgres__multi_az": "yes"}, "data.postgres.multi_az", "boolean", None),
            (
                {"data__postgres__backup_retention_days": 99},
                "data.postgres.backup_retention_days",
                "35",
                None,
            ),
            ({"data__redis__size": "huge"}, "data.redis.size", "large", "medium"),
            (_taint(effect="No"), "cluster.node_taints.0.effect", "", "NoExecute"),
            (_taint(effekt="NoExecute"), "cluster.node_taints.0.effekt", "", "effect"),
            ({"tags": {"aws:x": "y"}}, "tags", "reserved", None),
            ({"tags": {"x": 1}}, "tags.x", "string", None),
            ({"beta9__domain": "not a domain"}, "beta9.domain", "pattern", None),
            ({"beta9__workers": {"min_workers": 5, "max_workers": 2}}, "beta9.workers", "max_workers", None),
        ],
    )
    def test_bad_configurations_name_the_field_and_create_nothing(
        self, client: httpx.Client, changes: dict[str, Any], field: str, words: str, allowed: str | None
    ) -> None:
        response = post(client, **changes)
        slug = "not-allowed-here" if field == "cloud.region" else "invalid-configuration"
        found = problem(response, 422, slug)
        assert field in fields(found), found.errors
        assert words in fields(found)[field]
        if allowed is not None:
            (error,) = (error for error in found.errors if error.field == field)
            assert error.allowed is not None
            assert allowed in error.allowed
        assert total(client) == 0

    def test_missing_fields_are_named(self, client: httpx.Client) -> None:
        found = problem(client.post(URL, json={}), 422, "invalid-configuration")
        assert fields(found) == {"name": "is required", "cloud": "is required", "beta9": "is required"}

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"\xff", b"{", b'{"a":NaN}', b"[" * 10_000, b"%YAML 1.3\n---\na: 1"]
    )
    def test_malformed_bodies(self, client: httpx.Client, body: bytes) -> None:
        found = problem(client.post(URL, content=body), 400, "malformed-body")
        assert list(fields(found)) == ["body"]
        assert total(client) == 0

    def test_a_body_of_one_megabyte_is_read(self, client: httpx.Client) -> None:
        body = json.dumps(document()).ljust(MAX_BODY)
        assert client.post(URL, content=body).status_code == 202

    def test_a_larger_body_is_refused(self, client: httpx.Client) -> None:
        problem(client.post(URL, content=b" " * (MAX_BODY + 1)), 413, "body-too-large")
        assert total(client) == 0

    def test_a_large_body_is_refused_before_it_is_sent(self, client: httpx.Client, api: Serving) -> None:
        # Only the announcement: who waited for the body would wait for ever.
        with socket.create_connection(("127.0.0.1", api.port), timeout=GUARD_SECONDS) as connection:
            connection.sendall(
                f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode()
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 413")

    def test_an_endless_body_is_refused_while_it_comes(self, client: httpx.Client, api: Serving) -> None:
        with socket.create_connection(("127.0.0.1", api.port), timeout=GUARD_SECONDS) as connection:
            connection.sendall(
                f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            for _ in range(MAX_BODY // 0x10000 + 1):
                connection.sendall(chunk)
            assert connection.recv(100).startswith(b"HTTP/1.1 413")

    def test_a_client_that_hangs_up_during_its_upload_is_no_fault_of_ours(
        self, client: httpx.Client, api: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, TELEMETRY)
        with socket.create_connection(("127.0.0.1", api.port), timeout=GUARD_SECONDS) as connection:
            connection.sendall(
                f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode()
            )

        def told() -> list[str]:
            return [record.getMessage() for record in caplog.records if record.name == TELEMETRY]

        until(lambda: any("status=" in line for line in told()), "the request has ended")
        (line,) = told()
        assert "status=499" in line
        assert "Traceback" not in caplog.text
        assert total(client) == 0

    def test_compressed_bodies_are_refused(self, client: httpx.Client) -> None:
        response = client.post(URL, content=b"x", headers={"Content-Encoding": "gzip"})
        problem(response, 415, "unsupported-encoding")

    def test_a_name_is_taken_once(self, client: httpx.Client) -> None:
        created(client)
        found = problem(post(client), 409, "name-taken")
        assert "name" in fields(found)

    def test_the_operation_that_is_in_the_way_of_a_second_create_is_named(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        first = client.get(f"{URL}/{created(client)}").json()["operation"]["id"]
        assert problem(post(client), 409, "name-taken").operation_id == first
        taken = walk(sessions, first, S.PLANNING)
        assert problem(post(client), 409, "name-taken").operation_id == first
        with transaction(sessions) as session:
            fail(session, taken, Failure(Reason.INTERNAL, "internal", "It failed."))
        assert problem(post(client), 409, "name-taken").operation_id is None

    def test_too_many_environments_are_refused_for_good(self, client: httpx.Client) -> None:
        for number in range(10):
            created(client, name=f"demo-{number}")
        problem(post(client, name="one-more"), 403, "quota-exceeded")
        assert total(client) == 10

    def test_characters_that_no_tag_may_have_are_told_before_anything_is_built(
        self, client: httpx.Client
    ) -> None:
        tags = {"a": '${file("/etc/passwd")}', "b": "%{for x in y}", "c": "'; DROP TABLE events; --"}
        found = problem(post(client, tags=tags), 422, "invalid-configuration")
        assert list(fields(found)) == ["tags.a", "tags.b", "tags.c"]
        assert total(client) == 0


class TestCrossSite:
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_other_sites_pages_change_nothing(self, client: httpx.Client, site: str) -> None:
        headers = {"Sec-Fetch-Site": site, "Content-Type": "text/plain"}
        problem(client.post(URL, content=json.dumps(document()), headers=headers), 403, "cross-site")
        assert total(client) == 0
        environment = f"{URL}/{created(client)}"
        problem(client.delete(environment, headers=headers), 403, "cross-site")
        assert client.get(environment).json()["status"] == "queued"

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_own_pages_may(self, client: httpx.Client, site: str) -> None:
        assert client.post(URL, json=document(), headers={"Sec-Fetch-Site": site}).status_code == 202

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://evil.example", "127.0.0.1:8000"),
            ("http://127.0.0.1:3000", "127.0.0.1:8000"),
            ("http://127.0.0.1", "127.0.0.1:8000"),
            ("https://localhost:8000", "127.0.0.1:8000"),
            ("null", "127.0.0.1:8000"),
            ("", "127.0.0.1:8000"),
            ("http://127.0.0.1:x", "127.0.0.1:8000"),
            ("file://127.0.0.1:8000", "127.0.0.1:8000"),
        ],
    )
    def test_foreign_origins_change_nothing_where_browsers_send_no_more(
        self, client: httpx.Client, origin: str, host: str
    ) -> None:
        headers = {"Origin": origin, "Host": host}
        found = problem(client.post(URL, json=document(), headers=headers), 403, "cross-site")
        assert "Host" in found.detail
        assert total(client) == 0

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("https://LOCALHOST", "localhost"),  # TLS ends at the ingress
            ("https://localhost", "localhost:443"),
            ("http://localhost:80", "localhost"),
            ("http://[::1]:8000", "[::1]:8000"),
        ],
    )
    def test_own_origins_may(self, client: httpx.Client, origin: str, host: str) -> None:
        headers = {"Origin": origin, "Host": host}
        assert client.post(URL, json=document(), headers=headers).status_code == 202

    def test_a_browser_that_names_the_site_is_believed_behind_a_proxy(self, client: httpx.Client) -> None:
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": "https://public.example", "Host": "localhost"}
        assert client.post(URL, json=document(), headers=headers).status_code == 202


class TestIdempotencyKey:
    def test_repeats_the_first_answer(self, client: httpx.Client) -> None:
        headers = {"Idempotency-Key": "abc-1"}
        first = client.post(URL, json=document(), headers=headers)
        again = client.post(URL, json=document(), headers=headers)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert again.headers["location"] == first.headers["location"]

    def test_format_does_not_matter(self, client: httpx.Client) -> None:
        headers = {"Idempotency-Key": "abc-1"}
        first = client.post(URL, json=document(), headers=headers)
        again = client.post(URL, content="name: demo\n" + _yaml_without_name(), headers=headers)
        assert again.json() == first.json()

    def test_another_configuration_is_refused(self, client: httpx.Client) -> None:
        headers = {"Idempotency-Key": "abc-1"}
        client.post(URL, json=document(), headers=headers)
        response = client.post(URL, json=document(name="other"), headers=headers)
        problem(response, 422, "idempotency-key-reused")

    @pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\x7f"])
    def test_bad_keys(self, client: httpx.Client, key: str) -> None:
        response = client.post(URL, json=document(), headers={"Idempotency-Key": key})
        found = problem(response, 422, "invalid-request")
        assert list(fields(found)) == ["header.Idempotency-Key"]

    def test_two_keys_are_refused(self, client: httpx.Client) -> None:
        headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        found = problem(client.post(URL, json=document(), headers=headers), 422, "invalid-request")
        assert list(fields(found)) == ["header.Idempotency-Key"]
        assert total(client) == 0

    def test_a_key_is_forgotten_after_a_day(self, client: httpx.Client, sessions: Sessions) -> None:
        headers = {"Idempotency-Key": "abc-1"}
        first = client.post(URL, json=document(), headers=headers).json()
        with transaction(sessions) as session:
            session.execute(
                update(IdempotencyRow).values(created_at=func.now() - timedelta(hours=24, seconds=1))
            )
        second = client.post(URL, json=document(name="other"), headers=headers)
        assert second.status_code == 202
        assert second.json()["environment_id"] != first["environment_id"]
        again = client.post(URL, json=document(name="other"), headers=headers)
        assert again.json() == second.json()


class TestList:
    @pytest.mark.parametrize("query", ["limit=1&limit=2", "name=a&name=a", "status=ready&cursor=a&cursor=b"])
    def test_a_parameter_that_comes_twice_is_refused(self, client: httpx.Client, query: str) -> None:
        found = problem(client.get(f"{URL}?{query}"), 422, "invalid-request")
        assert list(fields(found)) == ["query." + query.rsplit("&", 1)[1].partition("=")[0]]

    def test_pages(self, client: httpx.Client) -> None:
        made = [created(client, name=f"demo-{number}") for number in range(3)]
        first = client.get(URL, params={"limit": 2}).json()
        second = client.get(URL, params={"limit": 2, "cursor": first["next_cursor"]}).json()
        seen = [item["environment_id"] for item in first["items"] + second["items"]]
        assert seen == made[::-1]
        assert second["next_cursor"] is None

    def test_filters(self, client: httpx.Client) -> None:
        created(client, name="first")
        client.delete(f"{URL}/{created(client, name='second')}")

        def names(query: str) -> list[str]:
            return [item["name"] for item in client.get(f"{URL}?{query}").json()["items"]]

        assert names("status=queued") == ["first"]
        assert names("status=queued&status=destroy_queued") == ["second", "first"]
        assert names("name=second") == ["second"]
        assert names("status=ready") == []

    @pytest.mark.parametrize(
        ("query", "field", "words"),
        [
            ("limit=0", "query.limit", "1"),
            ("limit=1001", "query.limit", "1000"),
            ("limit=x", "query.limit", "integer"),
            ("limit=" + "9" * 5000, "query.limit", ""),
            ("status=foo", "query.status.0", "queued"),
            ("name=%00", "query.name", "pattern"),
            ("foo=1", "query.foo", "unknown"),
            ("cursor=", "query.cursor", ""),
        ],
    )
    def test_bad_parameters_name_the_field(
        self, client: httpx.Client, query: str, field: str, words: str
    ) -> None:
        found = problem(client.get(f"{URL}?{query}"), 422, "invalid-request")
        assert words in fields(found)[field]

    def test_a_bad_status_lists_what_is_allowed(self, client: httpx.Client) -> None:
        found = problem(client.get(URL, params={"status": "foo"}), 422, "invalid-request")
        assert found.errors[0].allowed is not None
        assert "destroy_queued" in found.errors[0].allowed

    @pytest.mark.parametrize("cursor", ["garbage", "%00", "W10=", "a" * 200])
    def test_foreign_cursors(self, client: httpx.Client, cursor: str) -> None:
        found = problem(client.get(f"{URL}?cursor={cursor}"), 400, "invalid-request")
        assert list(fields(found)) == ["query.cursor"]


UNKNOWN = [
    "env_0123456789abcdef",
    "env_x",
    "x" * 5000,
    "%00",
    "env_%00",
    "..%2f",
    "%F0%9F%98%80",
    "' OR 1=1 --",
]


class TestUnknownIds:
    @pytest.mark.parametrize("environment_id", UNKNOWN)
    @pytest.mark.parametrize(
        ("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/kubeconfig")]
    )
    def test_are_not_found(self, client: httpx.Client, environment_id: str, method: str, suffix: str) -> None:
        response = client.request(method, f"{URL}/{environment_id}{suffix}")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"

    def test_parameters_where_there_are_none_are_refused(self, client: httpx.Client) -> None:
        environment_id = created(client)
        found = problem(client.delete(f"{URL}/{environment_id}?force=true"), 422, "invalid-request")
        assert fields(found) == {"query.force": "unknown field"}
        assert client.get(f"{URL}/{environment_id}").json()["status"] == "queued"


def objects_of(sessions: Sessions, operation_id: str) -> str:
    """What becomes of objects in an operation."""
    with transaction(sessions) as session:
        config = session.get_one(OperationRow, operation_id).config
    return str(config["data"]["object_store"]["on_delete"])


class TestDelete:
    def test_a_request_can_say_what_becomes_of_objects_this_time(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        url = f"{URL}/{created(client, data__object_store__on_delete='refuse')}"
        first = client.delete(url).json()["operation"]["id"]
        assert objects_of(sessions, first) == "refuse"
        assert client.delete(f"{url}?objects=delete").json()["operation"]["id"] == first
        assert objects_of(sessions, first) == "delete", "it still waits, so that this request counts"
        assert client.delete(url).status_code == 202
        assert objects_of(sessions, first) == "delete", "who says nothing changes nothing"
        taken = walk(sessions, first, S.DESTROYING)
        assert client.delete(f"{url}?objects=delete").json()["operation"]["id"] == first
        refused = problem(client.delete(f"{url}?objects=refuse"), 409, "operation-running")
        assert refused.operation_id == first
        assert objects_of(sessions, first) == "delete", "what runs is not changed"
        with transaction(sessions) as session:
            fail(session, taken, Failure(Reason.LEFTOVERS, "leftovers", "A bucket was left."))
        again = client.delete(url).json()["operation"]["id"]
        assert objects_of(sessions, again) == "refuse", "a request's word is for its destroy alone"
        assert client.get(url).json()["config"]["data"]["object_store"]["on_delete"] == "refuse"

    @pytest.mark.parametrize("word", ["", "DELETE", "yes"])
    def test_another_word_on_objects_is_refused(self, client: httpx.Client, word: str) -> None:
        url = f"{URL}/{created(client)}"
        problem(client.delete(f"{url}?objects={word}"), 422, "invalid-request")
        assert client.get(url).json()["status"] == "queued"

    def test_answers_202_until_it_is_destroyed(self, client: httpx.Client, sessions: Sessions) -> None:
        url = f"{URL}/{created(client)}"
        first = client.delete(url)
        assert (first.status_code, first.json()["status"]) == (202, "destroy_queued")
        walk(sessions, first.json()["operation"]["id"], S.DESTROYING)
        again = client.delete(url)
        assert (again.status_code, again.json()["status"]) == (202, "destroying")
        assert again.json()["operation"]["id"] == first.json()["operation"]["id"]

    def test_answers_200_when_it_is_destroyed(self, client: httpx.Client, sessions: Sessions) -> None:
        url = f"{URL}/{created(client)}"
        operation = client.delete(url).json()["operation"]["id"]
        walk(sessions, operation, S.DESTROYING, S.SUCCEEDED)
        response = client.delete(url)
        assert (response.status_code, response.json()["status"]) == (200, "destroyed")

    def test_protection_answers_409(self, client: httpx.Client) -> None:
        url = f"{URL}/{created(client, deletion_protection=True)}"
        problem(client.delete(url), 409, "deletion-protected")
        assert client.get(url).json()["status"] == "queued"

    def test_protection_can_be_turned_off(self, client: httpx.Client) -> None:
        url = f"{URL}/{created(client, deletion_protection=True)}"
        for _ in range(2):
            changed = client.patch(url, json={"deletion_protection": False})
            assert changed.status_code == 200
            assert (
                changed.json()["deletion_protection"]
                is changed.json()["config"]["deletion_protection"]
                is False
            )
        told = [event for event in client.get(f"{url}/events").json()["items"] if "changed" in event["type"]]
        assert [event["data"] for event in told] == [{"deletion_protection": False}]
        assert client.delete(url).status_code == 202

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "deletion_protection"),
            ({"deletion_protection": "no"}, "deletion_protection"),
            ({"name": "x"}, "name"),
        ],
    )
    def test_other_changes_are_refused(self, client: httpx.Client, body: dict[str, Any], field: str) -> None:
        url = f"{URL}/{created(client)}"
        before = client.get(url).json()
        answer = client.patch(url, json=body)
        assert answer.status_code == 422
        assert field in [error["field"] for error in answer.json()["errors"]]
        assert client.get(url).json() == before

    def test_a_change_that_is_not_possible_lists_those_that_are(self, client: httpx.Client) -> None:
        answer = client.patch(f"{URL}/{created(client)}", json={"deletion_protection": True, "name": "x"})
        (error,) = problem(answer, 422, "invalid-configuration").errors
        assert (error.field, error.allowed) == ("name", ["deletion_protection"])


class TestKubeconfig:
    def test_is_yaml(self, client: httpx.Client, sessions: Sessions) -> None:
        environment_id = created(client)
        with transaction(sessions) as session:
            session.get_one(EnvironmentRow, environment_id).outputs = {
                "cluster_name": "c",
                "cluster_endpoint": "https://c",
                "cluster_ca": "Q0E=",
            }
        response = client.get(f"{URL}/{environment_id}/kubeconfig")
        assert response.headers["content-type"].startswith("text/yaml")
        assert "kind: Config" in response.text

    def test_answers_409_before_there_is_a_cluster(self, client: httpx.Client) -> None:
        problem(client.get(f"{URL}/{created(client)}/kubeconfig"), 409, "no-cluster")


class TestOtherPaths:
    def test_unknown_paths_are_problems(self, client: httpx.Client) -> None:
        problem(client.get("/api/v2/nothing"), 404, "no-such-path")
        problem(client.get(f"{URL}/"), 404, "no-such-path")

    def test_unknown_methods_are_problems_that_name_the_possible_ones(self, client: httpx.Client) -> None:
        response = client.put(URL)
        problem(response, 405, "method-not-allowed")
        assert response.headers["allow"] == "GET, HEAD, POST"

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            (f"{URL}/x", "DELETE, GET, HEAD, PATCH"),
            (f"{URL}/x/kubeconfig", "GET, HEAD"),
            ("/health", "GET, HEAD"),
            ("/api/v1/openapi.json", "GET, HEAD"),
        ],
    )
    def test_all_methods_of_a_path_are_named(self, client: httpx.Client, path: str, allowed: str) -> None:
        assert client.put(path).headers["allow"] == allowed

    @pytest.mark.parametrize(
        "path", ["/health", "/health/ready", URL, "/api/v1/schema", "/nothing", URL + "/x"]
    )
    def test_head_answers_as_get_without_a_body(self, client: httpx.Client, path: str) -> None:
        whole, head = client.get(path), client.head(path)
        assert head.status_code == whole.status_code
        assert head.content == b""
        for name in ("content-type", "content-length"):
            assert head.headers[name] == whole.headers[name]

    def test_head_of_a_stream_does_not_wait_for_its_end(self, client: httpx.Client) -> None:
        head = client.head(f"{URL}/{created(client)}/events", headers={"Accept": "text/event-stream"})
        assert head.headers["content-type"].startswith("text/event-stream")


def _yaml_without_name() -> str:
    return (
        "cloud:\n"
        "  provider: aws\n"
        "  region: us-east-1\n"
        '  account_id: "123456789012"\n'
        "  role_arn: arn:aws:iam::123456789012:role/Beta9Provisioner\n"
        "  external_id: b9-0123456789abcdef\n"
        "beta9: {domain: beta9.example.com}\n"
    )
