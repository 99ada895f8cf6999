"""A caller with a key, and what it does through the API."""

from dataclasses import dataclass
from typing import Any

import httpx
from tests.support import callers

from beta9_provisioning.access import keys
from beta9_provisioning.access.principal import Principal
from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.schemas.callers import KeyCreated, Permission, Role


@dataclass(frozen=True)
class Caller:
    """Somebody with a key."""

    client: httpx.Client
    member_id: str
    text: str

    @property
    def key_id(self) -> str:
        """Id of the key."""
        id_ = keys.id_of(self.text)
        assert id_
        return id_

    def asks(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Send a request with the key; `path` is below /api/v1."""
        headers = callers.bearer(self.text) | given.pop("headers", {})
        return self.client.request(method, f"/api/v1{path}", headers=headers, **given)

    def makes_key(self, **fields: Any) -> httpx.Response:
        """Ask for a key."""
        return self.asks("POST", "/keys", json={"name": "k", **fields})

    def with_key(self, **fields: Any) -> "Caller":
        """Return the same member with another key of it."""
        return Caller(self.client, self.member_id, made(self.makes_key(**fields)).secret)


def caller(
    client: httpx.Client,
    sessions: Sessions,
    role: Role,
    *,
    of: str = "default",
    scopes: list[Permission] | None = None,
) -> Caller:
    """Return a new member with a key that does not expire."""
    member = callers.member(sessions, role, of=of)
    return Caller(client, member, callers.key(sessions, member, scopes=scopes))


def made(answer: httpx.Response) -> KeyCreated:
    """Return the key in an answer."""
    assert answer.status_code == 201, answer.text
    return KeyCreated.model_validate_json(answer.content)


def told(answer: httpx.Response) -> tuple[int, str]:
    """Return status and problem of an answer."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def acting(role: Role, organization: str) -> Principal:
    """Return a principal as an OIDC token makes it, of a member that is nowhere written."""
    return Principal(
        id="mem_" + "0" * 16,
        name="somebody",
        organization=organization,
        organization_name=organization,
        role=role,
        permissions=PERMISSIONS[role],
        authentication="oidc",
        sees=None if role is Role.PLATFORM_ADMIN else organization,
    )
