"""Who is let in: each test is a way in that must be closed, or one that must stay open."""

import http.client
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, update
from tests.api.test_environments import problem
from tests.support import callers
from tests.support.callers import bearer
from tests.support.configs import document
from tests.support.serving import answers, api_process, serving
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.access import keys
from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.operations.records.model import ApiKeyRow, MemberRow, OrganizationRow
from beta9_provisioning.schemas.callers import Identity, Permission, Role
from beta9_provisioning.settings import Settings

URL = "/api/v1/environments"
LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service that asks who is asking, as it is by default."""
    closed = settings.model_copy(update={"auth_mode": Settings.model_fields["auth_mode"].default})
    with serving(create_app(closed)) as server, server.client() as client:
        yield client


def test_a_key_lets_in(client: httpx.Client, sessions: Sessions) -> None:
    text = callers.caller(sessions, Role.OPERATOR, expires_at=LATER)
    made = client.post(URL, json=document(), headers=bearer(text))
    assert made.status_code == 202
    assert made.json()["organization_id"] == "default"
    identity = Identity.model_validate_json(client.get("/api/v1/whoami", headers=bearer(text)).content)
    assert (identity.authentication, identity.role, identity.organization_name) == (
        "key",
        "operator",
        "default",
    )
    assert identity.key_id == keys.id_of(text)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_written_in_any_case(client: httpx.Client, sessions: Sessions, scheme: str) -> None:
    text = callers.caller(sessions, Role.VIEWER)
    assert client.get(URL, headers={"Authorization": f"{scheme} {text}"}).status_code == 200


def test_every_reason_not_to_be_known_has_the_same_answer(client: httpx.Client, sessions: Sessions) -> None:
    known = callers.caller(sessions, Role.ADMIN)
    expired = callers.caller(sessions, Role.ADMIN, expires_at=EARLIER)
    revoked = callers.caller(sessions, Role.ADMIN)
    callers.change_key(sessions, revoked, revoked_at=func.clock_timestamp())
    removed = callers.member(sessions, Role.ADMIN)
    of_removed = callers.key(sessions, removed)
    organization = callers.organization(sessions, "gone")
    of_deleted = callers.caller(sessions, Role.ADMIN, of=organization)
    with transaction(sessions) as session:
        now = func.clock_timestamp()
        session.execute(update(MemberRow).where(MemberRow.id == removed).values(removed_at=now))
        session.execute(
            update(OrganizationRow).where(OrganizationRow.id == organization).values(deleted_at=now)
        )
    shown = [
        *(f"Bearer {text}" for text in (expired, revoked, of_removed, of_deleted, keys.new().text)),
        f"Bearer {known[:-1]}{'A' if known[-1] != 'A' else 'B'}",
        f"Basic {known}",
        f"Bearer  {known}",
        f"Bearer {known} {known}",
        f"Bearer {known},{known}",
        "Bearer",
        "Bearer " + "A" * 5000,
        "Bearer a.b.c",
        known,
        "",
    ]
    given = [client.get(URL, headers={"Authorization": one}) for one in shown]
    given.append(client.get(URL))
    given.append(client.get(URL, headers=[("Authorization", f"Bearer {known}")] * 2))
    given.append(client.get(URL, params={"api_key": known}))
    given.append(client.get(URL, headers={"Cookie": f"Authorization=Bearer {known}"}))
    assert {answer.status_code for answer in given} == {401}
    assert {answer.headers["www-authenticate"] for answer in given} == {"Bearer"}
    assert len({answer.content for answer in given}) == 1
    assert client.get(URL, headers=bearer(known)).status_code == 200


def test_a_revoked_key_is_refused_from_the_next_request_on(client: httpx.Client, sessions: Sessions) -> None:
    text = callers.caller(sessions, Role.VIEWER)
    assert client.get(URL, headers=bearer(text)).status_code == 200
    callers.change_key(sessions, text, revoked_at=func.clock_timestamp())
    assert client.get(URL, headers=bearer(text)).status_code == 401


def test_strangers_are_refused_before_their_body_is_read(client: httpx.Client) -> None:
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0, GUARD_SECONDS)
    try:
        connection.putrequest("POST", URL)
        connection.putheader("Content-Length", "100000")
        connection.endheaders()
        # Not one byte of it was sent.
        assert connection.getresponse().status == 401
    finally:
        connection.close()


def test_a_scope_takes_from_a_role_and_never_adds(client: httpx.Client, sessions: Sessions) -> None:
    reads = callers.caller(sessions, Role.ADMIN, scopes=[Permission.ENVIRONMENTS_READ])
    assert client.get(URL, headers=bearer(reads)).status_code == 200
    refused = client.post(URL, json=document(), headers=bearer(reads))
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "forbidden")
    assert "environments:write" in refused.json()["detail"]
    viewer = callers.caller(sessions, Role.VIEWER, scopes=[Permission.ENVIRONMENTS_WRITE])
    assert client.post(URL, json=document(), headers=bearer(viewer)).status_code == 403


def test_a_role_counts_as_it_is_now(client: httpx.Client, sessions: Sessions) -> None:
    member = callers.member(sessions, Role.OPERATOR)
    text = callers.key(sessions, member)
    with transaction(sessions) as session:
        session.execute(update(MemberRow).where(MemberRow.id == member).values(role=Role.VIEWER))
    assert client.post(URL, json=document(), headers=bearer(text)).status_code == 403


def test_another_organizations_environment_is_not_there(client: httpx.Client, sessions: Sessions) -> None:
    ours = bearer(callers.caller(sessions, Role.ADMIN))
    theirs = bearer(callers.caller(sessions, Role.ADMIN, of=callers.organization(sessions, "theirs")))
    made = client.post(URL, json=document(), headers=theirs).json()["environment_id"]
    path = f"{URL}/{made}"
    unknown = f"{URL}/env_{'0' * 16}"
    for method, end in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/events"),
        ("GET", "/kubeconfig"),
    ):
        body = b'{"deletion_protection": true}' if method == "PATCH" else b""
        answer = client.request(method, path + end, headers=ours, content=body)
        other = client.request(method, unknown + end, headers=ours, content=body)
        assert answer.status_code == other.status_code == 404
        assert answer.json()["detail"].replace(made, "X") == other.json()["detail"].replace(
            "env_" + "0" * 16, "X"
        )
    assert client.get(URL, headers=ours).json()["items"] == []
    # Nor is its name taken, nor its idempotency key used.
    again = client.post(URL, json=document(), headers=ours | {"Idempotency-Key": "k"})
    assert again.status_code == 202
    assert client.get(path, headers=theirs).status_code == 200


def test_a_member_acts_in_the_own_organization_only(client: httpx.Client, sessions: Sessions) -> None:
    theirs = callers.organization(sessions, "theirs")
    admin = callers.caller(sessions, Role.ADMIN)
    given = [
        client.get(URL, headers=bearer(admin) | {"Beta9-Organization": organization})
        for organization in (theirs, "org_0000000000000000", "", "' OR 1=1")
    ]
    assert {answer.status_code for answer in given} == {403}
    assert len({answer.content for answer in given}) == 1
    assert client.get(URL, headers=bearer(admin) | {"Beta9-Organization": "default"}).status_code == 200


def test_a_platform_administrator_sees_all(client: httpx.Client, sessions: Sessions) -> None:
    theirs = callers.organization(sessions, "theirs")
    member = bearer(callers.caller(sessions, Role.OPERATOR, of=theirs))
    made = client.post(URL, json=document(), headers=member).json()["environment_id"]
    platform = bearer(callers.caller(sessions, Role.PLATFORM_ADMIN))
    assert [one["environment_id"] for one in client.get(URL, headers=platform).json()["items"]] == [made]
    assert client.get(f"{URL}/{made}", headers=platform).json()["organization_id"] == theirs
    at_home = platform | {"Beta9-Organization": "default"}
    assert client.get(URL, headers=at_home).json()["items"] == []
    assert client.get(f"{URL}/{made}", headers=at_home).status_code == 404
    there = client.post(URL, json=document(name="second"), headers=platform | {"Beta9-Organization": theirs})
    assert there.json()["organization_id"] == theirs


def test_use_is_noted_to_a_minute(client: httpx.Client, sessions: Sessions) -> None:
    text = callers.caller(sessions, Role.VIEWER)

    def last_used() -> datetime | None:
        with sessions() as session:
            return session.scalar(select(ApiKeyRow.last_used_at).where(ApiKeyRow.id == keys.id_of(text)))

    assert last_used() is None
    client.get(URL, headers=bearer(text))
    first = last_used()
    assert first is not None
    client.get(URL, headers=bearer(text))
    assert last_used() == first
    callers.change_key(sessions, text, last_used_at=first - timedelta(minutes=2))
    client.get(URL, headers=bearer(text))
    again = last_used()
    assert again is not None
    assert again >= first


def test_strangers_learn_of_readiness_only_yes_or_no(client: httpx.Client, sessions: Sessions) -> None:
    assert client.get("/health/ready").json() == {"status": "ready", "checks": {}}
    text = callers.caller(sessions, Role.VIEWER)
    checks = client.get("/health/ready", headers=bearer(text)).json()["checks"]
    assert set(checks) == {"database", "schema", "queue"}
    assert client.get("/health").json()["status"] == "healthy"


def test_strangers_learn_how_to_log_in(client: httpx.Client) -> None:
    assert client.get("/api/v1/auth").json() == {"required": True, "oidc": None}


def test_metrics_are_open_unless_there_is_a_token(client: httpx.Client, settings: Settings) -> None:
    assert client.get("/metrics").status_code == 200
    closed = settings.model_copy(update={"metrics_token": "correct-horse"})
    with serving(create_app(closed)) as server, server.client() as other:
        assert other.get("/metrics").status_code == 401
        assert other.get("/metrics", headers=bearer("correct-hors")).status_code == 401
        assert other.get("/metrics", headers=bearer("correct-horse")).status_code == 200


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AUTH_MODE": "none", "API_HOST": "0.0.0.0"}, "loopback"),
        ({"AUTH_MODE": "none", "API_HOST": "::"}, "loopback"),
        ({"AUTH_MODE": "off"}, "AUTH_MODE"),
        ({"OIDC_ISSUER": "https://issuer.example.com"}, "OIDC_AUDIENCE"),
        (
            {"OIDC_ISSUER": "https://i.example", "OIDC_AUDIENCE": "us", "SSL_CERT_FILE": "/nowhere.pem"},
            "SSL_CERT_FILE is /nowhere.pem",
        ),
    ],
)
def test_a_service_that_would_be_open_does_not_start(
    settings: Settings,
    variables: dict[str, str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    mode = variables.get("AUTH_MODE", "required")
    with api_process(settings.model_copy(update={"auth_mode": mode}), free_port(), tmp_path) as process:
        assert process.wait(60) == 2
    assert says in (tmp_path / "log").read_text()


def test_an_open_service_acts_in_no_organization_but_its_own(settings: Settings, sessions: Sessions) -> None:
    other = callers.organization(sessions, "other")
    with serving(create_app(settings)) as server, server.client() as client:
        for organization in (other, "platform", "Default", ""):
            headers = {"Beta9-Organization": organization}
            made = client.post(URL, json=document(), headers=headers)
            assert problem(made, 403, "no-member"), organization
        assert client.get(URL, headers={"Beta9-Organization": "default"}).json()["items"] == []


def test_an_open_service_says_so_at_its_start(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with api_process(settings, port, tmp_path) as process:
        until(lambda: answers(port), "it serves")
        process.terminate()
        assert process.wait(60) == 0
    assert "authentication_off" in (tmp_path / "log").read_text()
