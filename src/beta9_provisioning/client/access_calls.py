"""Organizations, members, keys and the audit log as Python methods."""

from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from beta9_provisioning.client.transport import Transport
from beta9_provisioning.schemas.callers import (
    AuditPage,
    AuditRecord,
    Identity,
    Key,
    KeyCreated,
    KeyPage,
    LoginMethods,
    Member,
    MemberPage,
    Organization,
    OrganizationPage,
)

_API = "/api/v1"
_NDJSON = "application/x-ndjson"
_LOST_KEY = (
    "If it came through, there is a new key whose secret nobody knows. Look with "
    "`beta9-provisioning key list`, revoke that one with `beta9-provisioning key revoke`, and try again."
)
_LOST = "It may have been done nevertheless. Look with `beta9-provisioning {} list` before you try again."

_Model = TypeVar("_Model", bound=BaseModel)


class Access:
    """Who may do what in one service. Every method raises `ApiProblem` and `Unreachable`.

    What creates something is sent once: if its answer is lost, `AnswerLost` says how to look.
    """

    def __init__(self, transport: Transport) -> None:
        """Take the connections."""
        self._transport = transport

    def methods(self) -> LoginMethods:
        """Return how one logs in; everybody may ask."""
        return self._transport.ask(LoginMethods, "GET", f"{_API}/auth")

    def whoami(self) -> Identity:
        """Return who is asking."""
        return self._transport.ask(Identity, "GET", f"{_API}/whoami")

    def keys(self, *, member: str | None = None, limit: int | None = None) -> Iterator[Key]:
        """Yield keys, newest first: one's own, or a member's, or of `all` members."""
        for page in self._transport.pages(KeyPage, f"{_API}/keys", {"member": member}, limit):
            yield from page.items

    def create_key(
        self,
        name: str,
        *,
        member_id: str | None = None,
        scopes: list[str] | None = None,
        expires_in_days: int | None = 90,
    ) -> KeyCreated:
        """Create a key.

        Args:
            name: what it is for.
            member_id: whose; one's own without it.
            scopes: all that it may be used for; without them everything that its member may do.
            expires_in_days: None for never.
        """
        new = {"name": name, "member_id": member_id, "scopes": scopes, "expires_in_days": expires_in_days}
        return self._transport.ask(KeyCreated, "POST", f"{_API}/keys", json=new, lost=_LOST_KEY)

    def rotate_key(self, key_id: str, *, overlap_hours: int = 24) -> KeyCreated:
        """Create a key in place of another, which counts for some hours more."""
        path = _path("keys", key_id) + "/rotate"
        rotation = {"overlap_hours": overlap_hours}
        return self._transport.ask(KeyCreated, "POST", path, json=rotation, lost=_LOST_KEY)

    def revoke_key(self, key_id: str) -> None:
        """Let a key count no more, from now on and for ever."""
        self._transport.send("DELETE", _path("keys", key_id))

    def organizations(self, *, limit: int | None = None) -> Iterator[Organization]:
        """Yield the organizations that one may see, newest first."""
        for page in self._transport.pages(OrganizationPage, f"{_API}/organizations", {}, limit):
            yield from page.items

    def create_organization(self, name: str) -> Organization:
        """Create an organization."""
        return self._create(Organization, "organizations", "org", {"name": name})

    def delete_organization(self, organization_id: str) -> None:
        """Delete an organization that has no live environments."""
        self._transport.send("DELETE", _path("organizations", organization_id))

    def members(self, *, limit: int | None = None) -> Iterator[Member]:
        """Yield the members of the organization, newest first."""
        for page in self._transport.pages(MemberPage, f"{_API}/members", {}, limit):
            yield from page.items

    def add_member(self, name: str, *, kind: str, role: str, subject: str | None = None) -> Member:
        """Add a user or a service account to the organization."""
        new = {"name": name, "kind": kind, "role": role, "subject": subject}
        return self._create(Member, "members", "member", new)

    def update_member(self, member_id: str, *, role: str) -> Member:
        """Give a member another role."""
        return self._transport.ask(Member, "PATCH", _path("members", member_id), json={"role": role})

    def remove_member(self, member_id: str) -> None:
        """Remove a member, whose keys count no more."""
        self._transport.send("DELETE", _path("members", member_id))

    def audit(self, filters: dict[str, str | None], *, limit: int | None = None) -> Iterator[AuditRecord]:
        """Yield what was done and refused, newest first, as far as the filters let it through."""
        for page in self._transport.pages(AuditPage, f"{_API}/audit", filters, limit):
            yield from page.items

    def export_audit(self, filters: dict[str, str | None]) -> Iterator[str]:
        """Yield all that the filters let through, a record (JSON) a line, as it comes."""
        with self._transport.lines(f"{_API}/audit", filters, _NDJSON) as lines:
            yield from lines

    def _create(self, model: type[_Model], collection: str, noun: str, new: dict[str, Any]) -> _Model:
        path = f"{_API}/{collection}"
        return self._transport.ask(model, "POST", path, json=new, lost=_LOST.format(noun))


def _path(collection: str, id_: str) -> str:
    return f"{_API}/{collection}/{quote(id_, safe='')}"
