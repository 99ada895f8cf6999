"""The audit log through the API: what is recorded of each request, who may read it, and how."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from tests.audit.attacks import fill, reports
from tests.support import callers
from tests.support.callers import bearer
from tests.support.configs import document
from tests.support.loglines import captured, named
from tests.support.proxy import Proxy
from tests.support.serving import serving

from beta9_provisioning.access import keys
from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.audit_log import EXPORT
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import AuditRecordRow, EnvironmentRow
from beta9_provisioning.schemas.callers import AuditPage, AuditRecord, Permission, Role
from beta9_provisioning.settings import Settings

AUDIT = "/api/v1/audit"
URL = "/api/v1/environments"
OPEN = ["/api/v1/auth", "/health", "/health/ready", "/api/v1/schema"]
UNKNOWN = "env_0000000000000000"


@pytest.fixture
def closed(settings: Settings) -> Settings:
    """Settings of a service that asks who is asking."""
    return settings.model_copy(update={"auth_mode": "required"})


@pytest.fixture
def client(closed: Settings) -> Iterator[httpx.Client]:
    with serving(create_app(closed)) as server, server.client() as client:
        yield client


def records(sessions: Sessions, organization_id: str = "default") -> list[AuditRecordRow]:
    query = select(AuditRecordRow).where(AuditRecordRow.organization_id == organization_id)
    with sessions() as session:
        return list(session.scalars(query.order_by(AuditRecordRow.number)))


def told(row: AuditRecordRow) -> tuple[str, str | None, str | None]:
    return row.action, row.object_id, row.reason


def make(client: httpx.Client, key: str, **changes: Any) -> str:
    answer = client.post(URL, json=document(**changes), headers=bearer(key))
    assert answer.status_code == 202
    return str(answer.json()["environment_id"])


class TestChanges:
    def test_a_life_is_recorded_with_who_and_from_what_to_what(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        member = callers.member(sessions, Role.OPERATOR, name="Anna")
        key = callers.key(sessions, member)
        headers = {**bearer(key), "X-Request-ID": "req-7"}
        made = client.post(URL, json=document(deletion_protection=True), headers=headers).json()
        id_ = made["environment_id"]
        client.patch(f"{URL}/{id_}", json={"deletion_protection": False}, headers=headers)
        client.patch(f"{URL}/{id_}", json={"deletion_protection": False}, headers=headers)
        assert client.delete(f"{URL}/{id_}", headers=headers).status_code == 202
        assert client.delete(f"{URL}/{id_}", headers=headers).status_code == 202
        found = records(sessions)
        assert [told(row) for row in found] == [
            ("environment.create", id_, None),
            ("environment.update", id_, None),
            ("environment.delete", id_, None),
        ]
        who = {
            (row.actor, row.actor_name, row.key_id, row.address, row.request_id, row.object_type)
            for row in found
        }
        assert who == {(member, "Anna", keys.id_of(key), "127.0.0.1", "req-7", "environment")}
        created, updated, deleted = found
        assert created.before is None
        assert json.loads(created.after or "")["cloud"]["region"] == "us-east-1"
        assert (updated.before, updated.after) == (
            '{"deletion_protection":true}',
            '{"deletion_protection":false}',
        )
        assert json.loads(deleted.before or "")["status"] == "queued"
        assert json.loads(deleted.after or "")["status"] == "destroy_queued"

    def test_who_has_objects_deleted_is_recorded_also_when_the_destroy_waits_already(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        headers = bearer(callers.key(sessions, callers.member(sessions, Role.OPERATOR)))
        made = client.post(URL, json=document(data__object_store__on_delete="refuse"), headers=headers)
        url = f"{URL}/{made.json()['environment_id']}"
        client.delete(url, headers=headers)
        for _ in range(2):
            client.delete(f"{url}?objects=delete", headers=headers)
        first, second = [row for row in records(sessions) if row.action == "environment.delete"]
        assert "objects" not in json.loads(first.after or "")
        assert json.loads(second.after or "")["objects"] == "delete"

    def test_no_key_is_in_any_record(self, client: httpx.Client, sessions: Sessions) -> None:
        key = callers.caller(sessions, Role.ADMIN)
        make(client, key)
        client.get(f"{URL}/{UNKNOWN}", headers=bearer(key[:-1] + "x"))
        with sessions() as session:
            stored = session.scalars(text("SELECT r::text FROM audit_records r")).all()
        assert len(stored) == 2
        assert not any(key[-20:] in row for row in stored)

    def test_what_is_done_to_members_and_keys_is_recorded(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        admin = bearer(callers.caller(sessions, Role.ADMIN))
        member = client.post("/api/v1/members", json={"name": "bert"}, headers=admin).json()["id"]
        made = client.post("/api/v1/keys", json={"name": "k", "member_id": member}, headers=admin).json()
        key = made["key"]["id"]
        rotated = client.post(f"/api/v1/keys/{key}/rotate", headers=admin).json()
        client.delete(f"/api/v1/keys/{key}", headers=admin)
        client.patch(f"/api/v1/members/{member}", json={"role": "operator"}, headers=admin)
        client.delete(f"/api/v1/members/{member}", headers=admin)
        found = records(sessions)
        assert [told(row) for row in found] == [
            ("member.add", member, None),
            ("key.create", key, None),
            ("key.rotate", key, None),
            ("key.revoke", key, None),
            ("member.update", member, None),
            ("member.remove", member, None),
        ]
        assert json.loads(found[2].after or "")["id"] == rotated["key"]["id"]
        update = found[4]
        roles = [json.loads(state or "")["role"] for state in (update.before, update.after)]
        assert roles == ["viewer", "operator"]
        stored = "".join(f"{row.before}{row.after}" for row in found)
        assert made["secret"] not in stored
        assert rotated["secret"] not in stored

    def test_what_changes_nothing_is_not_recorded(self, client: httpx.Client, sessions: Sessions) -> None:
        admin = callers.caller(sessions, Role.ADMIN)
        member = callers.member(sessions, Role.VIEWER)
        key = f"/api/v1/keys/{keys.id_of(callers.key(sessions, member))}"
        for _ in range(2):
            path, change = f"/api/v1/members/{member}", {"role": "viewer"}
            assert client.patch(path, json=change, headers=bearer(admin)).status_code == 200
            assert client.delete(key, headers=bearer(admin)).status_code == 200
        assert [row.action for row in records(sessions)] == ["key.revoke"]

    def test_what_was_before_is_recorded_as_it_was(self, client: httpx.Client, sessions: Sessions) -> None:
        admin = bearer(callers.caller(sessions, Role.ADMIN))
        key = f"/api/v1/keys/{keys.id_of(callers.key(sessions, callers.member(sessions, Role.VIEWER)))}"
        shown = [client.get(key, headers=admin).json()]
        client.post(f"{key}/rotate", headers=admin)
        shown.append(client.get(key, headers=admin).json())
        client.delete(key, headers=admin)
        assert shown[0]["replaced_by"] is None
        assert [json.loads(row.before or "null") for row in records(sessions)] == shown

    def test_keys_that_end_with_something_else_are_named(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        platform = bearer(callers.caller(sessions, Role.PLATFORM_ADMIN))
        members = [callers.member(sessions, Role.VIEWER) for _ in range(2)]
        held = [sorted(str(keys.id_of(callers.key(sessions, one))) for _ in range(2)) for one in members]
        raised, removed = (f"/api/v1/members/{one}" for one in members)
        assert client.patch(raised, json={"role": "platform_admin"}, headers=platform).status_code == 200
        assert client.delete(removed, headers=platform).status_code == 204
        assert [json.loads(row.before or "")["keys"] for row in records(sessions)] == held

    def test_organizations_come_and_go_by_the_installation(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        admin = bearer(callers.caller(sessions, Role.PLATFORM_ADMIN))
        id_ = client.post("/api/v1/organizations", json={"name": "acme"}, headers=admin).json()["id"]
        client.delete(f"/api/v1/organizations/{id_}", headers=admin)
        assert [told(row) for row in records(sessions, "platform")] == [
            ("organization.create", id_, None),
            ("organization.delete", id_, None),
        ]

    def test_a_platform_admin_is_recorded_where_the_environment_is(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        other = callers.organization(sessions, "other")
        id_ = make(client, callers.caller(sessions, Role.OPERATOR, of=other))
        admin = callers.caller(sessions, Role.PLATFORM_ADMIN)
        assert client.delete(f"{URL}/{id_}", headers=bearer(admin)).status_code == 202
        assert [row.action for row in records(sessions, other)] == [
            "environment.create",
            "environment.delete",
        ]
        assert records(sessions) == []

    def test_reads_are_not_recorded_but_for_the_kubeconfig(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        key = callers.caller(sessions, Role.OPERATOR)
        id_ = make(client, key)
        outputs = {"cluster_name": "x", "cluster_endpoint": "https://c.example.com", "cluster_ca": "Q0E="}
        with transaction(sessions) as session:
            session.get_one(EnvironmentRow, id_).outputs = outputs
        for path in ("", f"/{id_}", f"/{id_}/events", f"/{id_}/kubeconfig"):
            assert client.get(URL + path, headers=bearer(key)).status_code == 200
        assert [row.action for row in records(sessions)] == ["environment.create", "environment.kubeconfig"]

    def test_a_repeated_key_is_one_create(self, client: httpx.Client, sessions: Sessions) -> None:
        headers = {**bearer(callers.caller(sessions, Role.OPERATOR)), "Idempotency-Key": "k"}
        for _ in range(2):
            assert client.post(URL, json=document(), headers=headers).status_code == 202
        assert len(records(sessions)) == 1

    def test_a_record_that_cannot_be_written_leaves_no_change(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        key = callers.caller(sessions, Role.OPERATOR)
        with transaction(sessions) as session:
            session.execute(text("LOCK TABLE audit_records IN ACCESS EXCLUSIVE MODE"))
            assert client.post(URL, json=document(), headers=bearer(key)).status_code == 503
        with sessions() as session:
            assert session.scalars(select(EnvironmentRow)).all() == []


class TestRefusals:
    def test_each_decision_is_recorded_with_its_reason(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        key = callers.caller(sessions, Role.OPERATOR)
        viewer = callers.caller(sessions, Role.VIEWER)
        other = callers.caller(sessions, Role.OPERATOR, of=callers.organization(sessions, "other"))
        foreign = make(client, other)
        id_ = make(client, key, deletion_protection=True)
        client.post(URL, json=document(), headers=bearer(key))
        client.post(URL, json=document(name="b", cloud__region="mars-1"), headers=bearer(key))
        client.delete(f"{URL}/{id_}", headers=bearer(key))
        client.get(f"{URL}/{foreign}", headers=bearer(key))
        client.get(f"{URL}/{UNKNOWN}/kubeconfig", headers=bearer(key))
        client.patch(f"{URL}/{id_}", json={"deletion_protection": False}, headers=bearer(viewer))
        client.get(AUDIT, headers=bearer(key))
        refused = [row for row in records(sessions) if row.decision == "refused"]
        assert [told(row) for row in refused] == [
            ("environment.create", None, "name-taken"),
            ("environment.create", None, "not-allowed-here"),
            ("environment.delete", id_, "deletion-protected"),
            ("environment.read", foreign, "environment-not-found"),
            ("environment.kubeconfig", UNKNOWN, "environment-not-found"),
            ("environment.update", id_, "forbidden"),
            ("audit.read", None, "forbidden"),
        ]
        assert refused[-2].key_id == keys.id_of(viewer)

    def test_what_cannot_be_understood_is_no_decision(self, client: httpx.Client, sessions: Sessions) -> None:
        headers = bearer(callers.caller(sessions, Role.OPERATOR))
        assert client.post(URL, content=b"{", headers=headers).status_code == 400
        assert client.post(URL, json={"name": "x"}, headers=headers).status_code == 422
        assert client.get(URL, params={"limit": "x"}, headers=headers).status_code == 422
        assert client.get("/api/v1/nothing", headers=headers).status_code == 404
        assert records(sessions) == []

    def test_strangers_are_in_the_chain_of_the_installation(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        unknown = keys.new()
        client.delete(f"{URL}/{UNKNOWN}")
        client.get(URL, headers=bearer(unknown.text))
        client.get(URL, headers=bearer("a.b.c"))
        found = records(sessions, "platform")
        assert [(row.actor, row.key_id, row.reason) for row in found] == [
            ("anonymous", None, "unauthenticated"),
            ("anonymous", unknown.id, "unauthenticated"),
            ("anonymous", None, "unauthenticated"),
        ]
        assert found[0].object_id == UNKNOWN
        assert {row.address for row in found} == {"127.0.0.1"}
        assert records(sessions) == []

    def test_one_who_is_no_member_there_is_too(self, client: httpx.Client, sessions: Sessions) -> None:
        key = callers.caller(sessions, Role.ADMIN)
        other = callers.organization(sessions, "other")
        for organization in (other, "platform"):
            headers = {**bearer(key), "Beta9-Organization": organization}
            assert client.get(URL, headers=headers).status_code == 403
        found = records(sessions, "platform")
        assert [(row.reason, row.key_id) for row in found] == [("no-member", keys.id_of(key))] * 2

    def test_a_path_full_of_odd_characters_is_kept_harmless(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        key = callers.caller(sessions, Role.VIEWER)
        client.get(f"{URL}/%00%1b[2J%0a{'x' * 1000}", headers=bearer(key))
        (row,) = records(sessions)
        assert row.object_id is not None
        assert row.object_id.startswith("\ufffd\ufffd[2J\n")
        assert len(row.object_id.encode()) <= 256

    def test_the_answer_does_not_depend_on_the_record(self, closed: Settings, sessions: Sessions) -> None:
        key = callers.caller(sessions, Role.VIEWER)
        with serving(create_app(closed)) as server, server.client() as client, captured() as lines:
            with transaction(sessions) as session:
                session.execute(text("LOCK TABLE audit_records IN ACCESS EXCLUSIVE MODE"))
                answer = client.get(f"{URL}/{UNKNOWN}", headers=bearer(key))
            assert answer.status_code == 404
            (line,) = named(lines, "audit_record_lost")
        assert (line["action"], line["object_id"], line["refused"]) == (
            "environment.read",
            UNKNOWN,
            "environment-not-found",
        )
        assert line["key_id"] == keys.id_of(key)

    def test_without_a_database_a_stranger_still_gets_his_answer(
        self, closed: Settings, proxy: Proxy, sessions: Sessions
    ) -> None:
        app = create_app(closed.model_copy(update={"database_url": proxy.url}))
        with serving(app) as server, server.client() as client, captured() as lines:
            proxy.cut()
            assert client.get(URL).status_code == 401
            assert len(named(lines, "audit_record_lost")) == 1


def test_every_route_of_known_callers_names_its_action(client: httpx.Client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    unnamed = [
        f"{method} {path}"
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "x-audit-action" not in operation
    ]
    assert unnamed == [f"get {path}" for path in OPEN]


class TestReading:
    @pytest.fixture
    def admin(self, sessions: Sessions) -> dict[str, str]:
        return bearer(callers.caller(sessions, Role.ADMIN))

    def page(self, client: httpx.Client, headers: dict[str, str], **parameters: Any) -> AuditPage:
        answer = client.get(AUDIT, params=parameters, headers=headers)
        assert answer.status_code == 200, answer.text
        return AuditPage.model_validate_json(answer.content)

    def test_pages_go_from_the_newest_to_the_first(
        self, client: httpx.Client, sessions: Sessions, admin: dict[str, str]
    ) -> None:
        fill(sessions, 5)
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.page(client, admin, limit=2, **cursor)
            seen += [record.number for record in page.items]
            if page.next_cursor is None:
                break
            cursor = {"cursor": page.next_cursor}
        assert seen == [5, 4, 3, 2, 1]
        assert page.items[0].before == {"number": 0}
        assert page.items[0].after == {"number": 1}

    def test_each_filter_is_passed_on(
        self, client: httpx.Client, sessions: Sessions, admin: dict[str, str]
    ) -> None:
        fill(sessions, 4)
        at = {row.number: row.at.isoformat() for row in records(sessions)}
        for parameters, numbers in [
            ({"actor": "mem_1"}, [4, 3, 2, 1]),
            ({"actor": "anonymous"}, []),
            ({"action": "environment.update", "object_id": "env_2"}, [2]),
            ({"decision": "refused"}, [3, 1]),
            ({"request_id": "req-3"}, [3]),
            ({"since": at[2], "until": at[3]}, [3, 2]),
        ]:
            assert [r.number for r in self.page(client, admin, **parameters).items] == numbers, parameters
        assert len(records(sessions)) == 4, "what may be read is not recorded"

    @pytest.mark.parametrize(
        "parameters",
        [
            {"since": "2026-01-01T00:00:00"},
            {"since": "0.0"},
            {"until": "1767225600"},
            {"until": "yesterday"},
            {"decision": "maybe"},
            {"limit": 0},
            {"limit": 1001},
            {"cursor": "0"},
            {"cursor": "-1"},
            {"cursor": "9" * 30},
            {"actor": "a\x00b"},
            {"object_id": "'; DROP TABLE audit_records; --" * 20},
            {"order": "asc"},
        ],
        ids=str,
    )
    def test_wrong_parameters_are_named(
        self, client: httpx.Client, admin: dict[str, str], parameters: dict[str, Any]
    ) -> None:
        for accept in ("application/json", EXPORT):
            answer = client.get(AUDIT, params=parameters, headers={**admin, "Accept": accept})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["field"] == f"query.{next(iter(parameters))}"

    def test_an_organization_sees_its_own(self, client: httpx.Client, sessions: Sessions) -> None:
        other = callers.organization(sessions, "other")
        fill(sessions, 2)
        fill(sessions, 1, other)
        headers = bearer(callers.caller(sessions, Role.ADMIN, of=other))
        assert [record.organization_id for record in self.page(client, headers).items] == [other]
        for organization in ("default", "platform"):
            chosen = {**headers, "Beta9-Organization": organization}
            assert client.get(AUDIT, headers=chosen).status_code == 403

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
    def test_others_than_admins_read_nothing(
        self, client: httpx.Client, sessions: Sessions, role: Role
    ) -> None:
        answer = client.get(AUDIT, headers=bearer(callers.caller(sessions, role)))
        assert answer.status_code == 403
        assert "audit:read" in answer.json()["detail"]

    def test_a_platform_admin_chooses_and_the_installations_own_is_for_reading_only(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        other = callers.organization(sessions, "other")
        fill(sessions, 1, other)
        client.get(URL)  # by nobody
        headers = bearer(callers.caller(sessions, Role.PLATFORM_ADMIN))
        assert self.page(client, headers).items == []
        chosen = self.page(client, {**headers, "Beta9-Organization": other}).items
        assert [record.organization_id for record in chosen] == [other]
        platform = {**headers, "Beta9-Organization": "platform"}
        assert [record.reason for record in self.page(client, platform).items] == ["unauthenticated"]
        assert client.post(URL, json=document(), headers=platform).status_code == 403
        assert client.get(URL, headers=platform).status_code == 403

    def test_a_key_without_the_scope_of_the_installations_log_does_not_get_it(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        key = callers.caller(sessions, Role.PLATFORM_ADMIN, scopes=[Permission.ENVIRONMENTS_READ])
        headers = {**bearer(key), "Beta9-Organization": "platform"}
        assert client.get(AUDIT, headers=headers).status_code == 403


class TestExport:
    def export(self, client: httpx.Client, headers: dict[str, str], **parameters: Any) -> list[AuditRecord]:
        answer = client.get(AUDIT, params=parameters, headers={**headers, "Accept": EXPORT})
        assert (answer.status_code, answer.headers["content-type"]) == (200, EXPORT)
        return [AuditRecord.model_validate_json(line) for line in answer.text.splitlines()]

    def test_everything_that_is_wanted_comes_as_lines_and_the_export_is_recorded(
        self, client: httpx.Client, sessions: Sessions
    ) -> None:
        fill(sessions, 5)
        headers = bearer(callers.caller(sessions, Role.ADMIN))
        assert [one.number for one in self.export(client, headers, limit=1)] == [5, 4, 3, 2, 1]
        assert [one.number for one in self.export(client, headers, decision="refused")] == [5, 3, 1]
        *_, first, second = records(sessions)
        assert told(first) == told(second) == ("audit.export", "default", None)
        assert (first.after, second.after) == ("{}", '{"decision":"refused"}')

    def test_more_than_one_batch_comes_whole(self, client: httpx.Client, sessions: Sessions) -> None:
        many = text(
            "INSERT INTO audit_records (organization_id, actor, actor_name, action, object_type, decision)"
            " SELECT 'default', 'a', 'a', 'a', 'a', 'allowed' FROM generate_series(1, 2500)"
        )
        with transaction(sessions) as session:
            session.execute(many)
        headers = bearer(callers.caller(sessions, Role.ADMIN))
        assert [one.number for one in self.export(client, headers)] == list(range(2500, 0, -1))

    def test_a_slow_reader_holds_no_transaction(self, client: httpx.Client, sessions: Sessions) -> None:
        many = text(
            "INSERT INTO audit_records"
            " (organization_id, actor, actor_name, action, object_type, decision, after)"
            " SELECT 'default', 'a', 'a', 'a', 'a', 'allowed',"
            " jsonb_build_object('a', repeat('x', 8000))::text FROM generate_series(1, 6000)"
        )
        with transaction(sessions) as session:
            session.execute(many)
        headers = {**bearer(callers.caller(sessions, Role.ADMIN)), "Accept": EXPORT}
        with client.stream("GET", AUDIT, headers=headers) as answer:
            lines = answer.iter_lines()
            next(lines)  # more than sockets and buffers hold is left
            with sessions() as session:
                _see_no_transaction(session)
            assert len(list(lines)) == 5999


def _see_no_transaction(session: Session) -> None:
    open_ = session.execute(
        text(
            "SELECT state, query FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE '%audit_records%'"
        )
    ).all()
    # A read may be going on at this moment, in no transaction of its own.
    assert [row for row in open_ if row.state != "active"] == []


def test_what_the_api_wrote_holds(client: httpx.Client, sessions: Sessions) -> None:
    key = callers.caller(sessions, Role.ADMIN)
    for name in ("a", "b", "a"):
        client.post(URL, json=document(name=name), headers=bearer(key))
    client.get(URL)
    with sessions() as session:
        engine = session.get_bind()
        found = {one.organization_id: (one.records, one.findings) for one in reports(engine)}  # type: ignore[arg-type]
    assert found == {"default": (3, []), "platform": (1, [])}


def test_without_authentication_everybody_is_one(settings: Settings, sessions: Sessions) -> None:
    with serving(create_app(settings)) as server, server.client() as client:
        client.post(URL, json=document())
        client.get(f"{URL}/{UNKNOWN}")
        assert client.get(AUDIT).json()["items"][0]["reason"] == "environment-not-found"
    assert {(row.actor, row.key_id) for row in records(sessions)} == {("default", None)}
    assert datetime.now(UTC) - records(sessions)[0].at < timedelta(hours=1)
