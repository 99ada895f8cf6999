"""Tokens of an OIDC issuer at the running API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from ipaddress import ip_network
from time import time
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs
from tests.api.test_environments import problem
from tests.support import callers
from tests.support.callers import bearer
from tests.support.issuer import Issuer, SigningKey, issuing
from tests.support.serving import serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import AuditRecordRow, MemberRow
from beta9_provisioning.schemas.callers import Identity, Role
from beta9_provisioning.settings import Settings

WHOAMI = "/api/v1/whoami"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def serve(settings: Settings, issuer: Issuer) -> Iterator[Callable[..., httpx.Client]]:
    """Serve an API that takes the issuer's tokens, with other settings where they are given."""
    with ExitStack() as stack:

        def start(**others: Any) -> httpx.Client:
            given = {
                "auth_mode": "required",
                "oidc_issuer": issuer.url,
                "oidc_audience": issuer.audience,
                "outgoing_allowed_networks": (ip_network("127.0.0.1/32"),),
            }
            app = create_app(settings.model_copy(update={**given, **others}))
            return stack.enter_context(stack.enter_context(serving(app)).client())

        yield start


@pytest.fixture
def client(serve: Callable[..., httpx.Client]) -> httpx.Client:
    return serve()


def refused(client: httpx.Client, token: str) -> dict[str, Any]:
    """Check that a token lets nobody in; return all that the answer tells."""
    answer = client.get(WHOAMI, headers=bearer(token))
    assert problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    told = answer.json()
    assert isinstance(told, dict)
    return told


def test_a_members_token_lets_in(client: httpx.Client, issuer: Issuer, sessions: Sessions) -> None:
    member = callers.member(sessions, Role.VIEWER, name="Alice", subject="alice")
    end = int(time()) + 300

    answer = client.get(WHOAMI, headers=bearer(issuer.token("alice", exp=end)))

    identity = Identity.model_validate_json(answer.content)
    assert (identity.authentication, identity.member_id, identity.role) == ("oidc", member, "viewer")
    assert identity.key_expires_at == datetime.fromtimestamp(end, UTC)
    assert identity.key_id is None
    listed = client.get("/api/v1/environments", headers=bearer(issuer.token("alice")))
    assert listed.is_success


def test_a_token_gives_no_more_than_the_role(
    client: httpx.Client, issuer: Issuer, sessions: Sessions
) -> None:
    callers.member(sessions, Role.VIEWER, subject="alice")
    token = issuer.token(
        "alice", role="admin", roles=["platform_admin"], scope="environments:write", groups=["x"]
    )

    assert problem(client.post("/api/v1/environments", json={}, headers=bearer(token)), 403, "forbidden")


def test_no_organization_makes_less_of_a_platform_admin(
    client: httpx.Client, issuer: Issuer, sessions: Sessions
) -> None:
    other, third = callers.organization(sessions, "other"), callers.organization(sessions, "third")
    callers.member(sessions, Role.VIEWER, of=other, subject="root")
    root = callers.member(sessions, Role.PLATFORM_ADMIN, subject="root")
    for organization in (None, other, third):
        header = {"Beta9-Organization": organization} if organization else {}
        answer = client.get(WHOAMI, headers=bearer(issuer.token("root")) | header)
        identity = Identity.model_validate_json(answer.content)
        assert (identity.member_id, identity.role) == (root, "platform_admin")
        assert identity.organization_id == (organization or "default")


def test_one_of_several_organizations_is_named(
    client: httpx.Client, issuer: Issuer, sessions: Sessions
) -> None:
    both = [callers.organization(sessions, name) for name in ("a", "b")]
    members = [callers.member(sessions, Role.VIEWER, of=one, subject="alice") for one in both]
    token = bearer(issuer.token("alice"))
    unclear = client.get(WHOAMI, headers=token)
    assert problem(unclear, 400, "organization-unclear")
    with sessions() as session:
        record = session.scalars(select(AuditRecordRow)).one()
    assert (record.organization_id, record.decision, record.reason) == (
        "platform",
        "refused",
        "organization-unclear",
    )
    assert unclear.json()["errors"][0]["allowed"] == both
    named = [client.get(WHOAMI, headers=token | {"Beta9-Organization": one}).json() for one in both]
    assert [one["member_id"] for one in named] == members
    strange = client.get(WHOAMI, headers=token | {"Beta9-Organization": "default"})
    assert problem(strange, 403, "no-member")


def test_who_names_none_of_several_organizations_fails_only_so_often(
    serve: Callable[..., httpx.Client], issuer: Issuer, sessions: Sessions
) -> None:
    for name in ("a", "b"):
        callers.member(sessions, Role.VIEWER, of=callers.organization(sessions, name), subject="alice")
    client = serve(rate_limit_failures_per_address=3)
    answers = [client.get(WHOAMI, headers=bearer(issuer.token("alice"))) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400] * 3 + [429]


def test_every_bad_token_has_the_same_answer(
    client: httpx.Client, issuer: Issuer, sessions: Sessions
) -> None:
    callers.member(sessions, Role.ADMIN, subject="alice")
    gone = callers.member(sessions, Role.ADMIN, subject="gone")
    with transaction(sessions) as session:
        session.execute(
            update(MemberRow).where(MemberRow.id == gone).values(removed_at=func.clock_timestamp())
        )
    good = issuer.token("alice")
    tokens = [
        issuer.token("nobody"),
        issuer.token("gone"),
        issuer.token("Alice"),
        issuer.token("alice "),
        issuer.token("%"),
        issuer.token("alice", exp=1_000_000_000),
        issuer.token("alice", aud="another"),
        issuer.token("alice", iss="https://another.example"),
        SigningKey.new().sign(issuer.claims("alice")),
        SigningKey(issuer.key.kid, "ES256", SigningKey.new().private).sign(issuer.claims("alice")),
        good[:-4],
        f"{good.rpartition('.')[0]}.",
        "a.b.c",
        "x" * 8000,
    ]

    told = [refused(client, token) for token in tokens]

    assert all(one == told[0] for one in told)
    assert client.get(WHOAMI, headers=bearer(good)).is_success


def test_a_member_that_is_removed_is_out_at_once(
    client: httpx.Client, issuer: Issuer, sessions: Sessions
) -> None:
    member = callers.member(sessions, Role.ADMIN, subject="alice")
    token = issuer.token("alice")
    assert client.get(WHOAMI, headers=bearer(token)).is_success

    with transaction(sessions) as session:
        session.execute(
            update(MemberRow).where(MemberRow.id == member).values(removed_at=func.clock_timestamp())
        )
    refused(client, token)


def test_without_an_issuer_no_token_lets_in(
    serve: Callable[..., httpx.Client], issuer: Issuer, sessions: Sessions
) -> None:
    callers.member(sessions, Role.ADMIN, subject="alice")

    refused(serve(oidc_issuer="", oidc_audience=""), issuer.token("alice"))
    assert issuer.asked == []


def test_an_issuer_that_is_away_is_said_and_keys_let_in_all_the_same(
    client: httpx.Client, issuer: Issuer, sessions: Sessions
) -> None:
    callers.member(sessions, Role.ADMIN, subject="alice")
    issuer.broken = 500

    with capture_logs() as logs:
        answer = client.get(WHOAMI, headers=bearer(issuer.token("alice")))

    assert problem(answer, 503, "issuer-unavailable")
    assert answer.headers["Retry-After"]
    (told,) = [line for line in logs if line["event"] == "oidc_issuer_unavailable"]
    assert "status 500" in told["reason"]
    assert client.get(WHOAMI, headers=bearer(callers.caller(sessions, Role.ADMIN))).is_success
    ready = client.get("/health/ready", headers=bearer(issuer.token("alice")))
    assert ready.is_success
    assert ready.json()["checks"] == {}


def test_an_issuer_within_is_asked_only_if_its_network_is_allowed(
    serve: Callable[..., httpx.Client], issuer: Issuer, sessions: Sessions
) -> None:
    callers.member(sessions, Role.ADMIN, subject="alice")
    client = serve(outgoing_allowed_networks=())

    with capture_logs() as logs:
        answer = client.get(WHOAMI, headers=bearer(issuer.token("alice")))

    assert problem(answer, 503, "issuer-unavailable")
    assert issuer.asked == []
    assert any("OUTGOING_ALLOWED_NETWORKS" in str(line.get("reason")) for line in logs)


def test_a_verified_address_can_name_the_member(
    serve: Callable[..., httpx.Client], issuer: Issuer, sessions: Sessions
) -> None:
    callers.member(sessions, Role.ADMIN, subject="alice@example.com")
    client = serve(oidc_member_claim="email")

    good = issuer.token("x1", email="alice@example.com", email_verified=True)
    assert client.get(WHOAMI, headers=bearer(good)).is_success
    refused(client, issuer.token("x2", email="alice@example.com", email_verified=False))
    refused(client, issuer.token("alice@example.com"))


def test_no_token_is_logged(client: httpx.Client, issuer: Issuer, sessions: Sessions) -> None:
    callers.member(sessions, Role.ADMIN, subject="alice")
    bad, good = issuer.token("nobody"), issuer.token("alice")

    with capture_logs() as logs:
        refused(client, bad)
        client.get(WHOAMI, headers=bearer(good))
    for token in (bad, good):
        for part in token.split("."):
            assert part not in str(logs)
    assert logs
