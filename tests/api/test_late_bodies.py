"""A request whose body comes late is judged by what its caller is then, not when its headers came."""

import http.client
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update
from tests.support import callers
from tests.support.configs import document
from tests.support.organized import Caller, caller, made
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import ApiKeyRow, MemberRow
from beta9_provisioning.schemas.callers import Role

Finish = Callable[[], int]


def begun(client: httpx.Client, sessions: Sessions, who: Caller, path: str, body: dict[str, Any]) -> Finish:
    """Send a request but for its last byte, until the caller is known; return what sends that byte."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0, GUARD_SECONDS)
    sent = json.dumps(body).encode()
    connection.putrequest("POST", f"/api/v1/{path}")
    connection.putheader("Authorization", f"Bearer {who.text}")
    connection.putheader("Content-Length", str(len(sent)))
    connection.endheaders(sent[:-1])

    def was_known() -> bool:
        with sessions() as session:
            return session.get_one(ApiKeyRow, who.key_id).last_used_at is not None

    until(was_known, "the caller is known")

    def finish() -> int:
        connection.send(sent[-1:])
        status = connection.getresponse().status
        connection.close()
        return status

    return finish


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("keys", {"name": "evil", "expires_in_days": None}),
        ("members", {"name": "backdoor", "role": "admin"}),
        ("environments", document()),
    ],
)
def test_a_revoked_key_does_nothing_more(
    guarded: httpx.Client, sessions: Sessions, path: str, body: dict[str, Any]
) -> None:
    finish = begun(guarded, sessions, who := caller(guarded, sessions, Role.ADMIN), path, body)
    callers.change_key(sessions, who.text, revoked_at=func.clock_timestamp())
    assert finish() == 401


def test_who_becomes_a_platform_admin_meanwhile_makes_no_key_of_that_role(
    guarded: httpx.Client, sessions: Sessions
) -> None:
    who = caller(guarded, sessions, Role.ADMIN)
    scopes = ["members:write", "audit:read"]
    finish = begun(guarded, sessions, who, "keys", {"name": "evil", "scopes": scopes})
    with transaction(sessions) as session:
        role = update(MemberRow).where(MemberRow.id == who.member_id).values(role=Role.PLATFORM_ADMIN)
        session.execute(role)
    assert finish() == 401


def test_a_replaced_key_makes_no_keys_while_it_still_counts(
    guarded: httpx.Client, sessions: Sessions
) -> None:
    who = caller(guarded, sessions, Role.ADMIN)
    made(who.asks("POST", f"/keys/{who.key_id}/rotate", json={"overlap_hours": 1}))
    assert who.asks("GET", "/whoami").status_code == 200
    refused = who.makes_key(expires_in_days=1)
    assert refused.status_code == 403
    assert "was replaced by" in refused.json()["detail"]
