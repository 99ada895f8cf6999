"""Views of who may do what: contexts, callers, organizations, members, keys, the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from beta9_provisioning.cli.output import PLACES
from beta9_provisioning.cli.views import age, sheet

if TYPE_CHECKING:
    from rich.console import RenderableType

    from beta9_provisioning.cli.contexts import Contexts
    from beta9_provisioning.schemas.callers import AuditRecord, Identity, Key, Member, Organization

_NOTHING = "-"


@dataclass(frozen=True)
class ContextsView:
    """All contexts."""

    known: Contexts

    def rich(self) -> RenderableType:
        """Return a table in which the current one has a mark."""
        rows = [
            (
                "*" if name == self.known.current else "",
                name,
                one.server,
                one.organization or _NOTHING,
                one.login or _NOTHING,
            )
            for name, one in sorted(self.known.contexts.items())
        ]
        return _table("contexts", ("", "NAME", "SERVER", "ORGANIZATION", "CREDENTIAL"), rows)

    def ids(self) -> Sequence[str]:
        """Return their names."""
        return sorted(self.known.contexts)

    def json(self) -> object:
        """Return a list; a credential is told by where it lies alone."""
        return [
            {
                "name": name,
                "current": name == self.known.current,
                "server": one.server,
                "organization": one.organization,
                "ca_file": one.ca_file,
                "plain_http": one.plain_http,
                "credential": one.login,
            }
            for name, one in sorted(self.known.contexts.items())
        ]


@dataclass(frozen=True)
class IdentityView:
    """Who the service takes this user for, and by which credential.

    Attributes:
        place: where the credential lies: `keyring`, `file`, the variable; None when there is none.
        expires_at: when the credential counts no more; None when nobody knows, or never.
        renews: it is renewed without a person.
    """

    identity: Identity
    server: str
    context: str | None
    place: str | None
    expires_at: datetime | None
    renews: bool

    def rich(self) -> RenderableType:
        """Return a sheet."""
        identity = self.identity
        return sheet(
            [
                ("Server", self.server),
                ("Context", self.context or _NOTHING),
                ("Member", f"{identity.member_name} ({identity.member_id})"),
                ("Role", str(identity.role)),
                ("Organization", f"{identity.organization_name} ({identity.organization_id})"),
                ("May", ", ".join(identity.permissions) or "nothing"),
                ("Credential", self._credential()),
                ("Expires", "renewed by itself" if self.renews else _moment(self.expires_at, "never")),
            ]
        )

    def json(self) -> object:
        """Return the identity as the API gives it, and where the credential lies."""
        return {
            **self.identity.model_dump(mode="json"),
            "server": self.server,
            "context": self.context,
            "credential": self.place,
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
            "renews": self.renews,
        }

    def _credential(self) -> str:
        if self.place is None:
            return "none, the service asks for none"
        kinds = {"key": "API key", "oidc": "token of the OIDC issuer", "none": "not asked for, one"}
        key = f" {self.identity.key_id}" if self.identity.key_id else ""
        return f"{kinds[self.identity.authentication]}{key}, in {PLACES.get(self.place, self.place)}"


@dataclass(frozen=True)
class _ListView:
    """Several things of the API, newest first: what they are called, and their columns."""

    items: Sequence[Any]
    noun: str
    columns: Mapping[str, Callable[[Any], str]]

    def rich(self) -> RenderableType:
        """Return a table."""
        rows = [[cell(item) for cell in self.columns.values()] for item in self.items]
        return _table(self.noun, list(self.columns), rows)

    def ids(self) -> Sequence[str]:
        """Return their IDs."""
        return [item.id for item in self.items]

    def json(self) -> object:
        """Return a list as the API gives them."""
        return [item.model_dump(mode="json") for item in self.items]


@dataclass(frozen=True)
class ItemView:
    """One thing of the API that has an ID."""

    item: Any

    def rich(self) -> RenderableType:
        """Return a sheet of its properties."""
        found = self.item.model_dump(mode="json")
        return sheet([(_title(name), str(value)) for name, value in found.items() if value is not None])

    def ids(self) -> Sequence[str]:
        """Return its ID."""
        return [self.item.id]

    def json(self) -> object:
        """Return it as the API gives it."""
        return self.item.model_dump(mode="json")


@dataclass(frozen=True)
class GoneView:
    """Something that is no more, by its ID."""

    id: str
    said: str

    def rich(self) -> RenderableType:
        """Return a sentence."""
        return Text(f"{self.id} {self.said}.")

    def ids(self) -> Sequence[str]:
        """Return its ID."""
        return [self.id]

    def json(self) -> object:
        """Return the ID."""
        return {"id": self.id}


def keys_view(keys: Sequence[Key]) -> _ListView:
    """Return the view of keys."""
    columns: dict[str, Callable[[Key], str]] = {
        "ID": lambda key: key.id,
        "NAME": lambda key: key.name,
        "MEMBER": lambda key: key.member_name,
        "SCOPES": lambda key: "all" if key.scopes is None else " ".join(key.scopes),
        "STATE": _state,
        "EXPIRES": lambda key: _moment(key.expires_at, "never", "%Y-%m-%d"),
        "LAST USE": lambda key: age(key.last_used_at) if key.last_used_at else "never",
    }
    return _ListView(keys, "keys", columns)


def members_view(members: Sequence[Member]) -> _ListView:
    """Return the view of members."""
    columns: dict[str, Callable[[Member], str]] = {
        "ID": lambda member: member.id,
        "NAME": lambda member: member.name,
        "KIND": lambda member: str(member.kind),
        "ROLE": lambda member: str(member.role),
        "SUBJECT": lambda member: member.subject or _NOTHING,
        "AGE": lambda member: age(member.created_at),
    }
    return _ListView(members, "members", columns)


def organizations_view(organizations: Sequence[Organization]) -> _ListView:
    """Return the view of organizations."""
    columns: dict[str, Callable[[Organization], str]] = {
        "ID": lambda one: one.id,
        "NAME": lambda one: one.name,
        "AGE": lambda one: age(one.created_at),
    }
    return _ListView(organizations, "organizations", columns)


@dataclass(frozen=True)
class AuditView:
    """Records of the audit log, newest first."""

    records: Sequence[AuditRecord]

    def rich(self) -> RenderableType:
        """Return a table; what changed is in the JSON."""
        rows = [
            (
                str(record.number),
                _moment(record.at, ""),
                record.actor_name or record.actor,
                record.action,
                record.object_id or record.object_type,
                str(record.decision) + (f" ({record.reason})" if record.reason else ""),
                record.address or _NOTHING,
            )
            for record in self.records
        ]
        return _table("records", ("NUMBER", "AT", "WHO", "ACTION", "OBJECT", "DECISION", "FROM"), rows)

    def ids(self) -> Sequence[str]:
        """Return their numbers."""
        return [str(record.number) for record in self.records]

    def json(self) -> object:
        """Return a list of records as the API gives them."""
        return [record.model_dump(mode="json") for record in self.records]


def _table(noun: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    if not rows:
        return Text(f"No {noun}.", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        # IDs are taken to other commands, so they are never cut.
        table.add_column(title, no_wrap=title in ("ID", "NUMBER"), overflow="fold")
    for cells in rows:
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _title(name: str) -> str:
    return "ID" if name == "id" else name.replace("_", " ").capitalize()


def _state(key: Key) -> str:
    now = datetime.now(UTC)
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "replaced" if key.replaced_by else "valid"


def _moment(moment: datetime | None, otherwise: str, form: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    return otherwise if moment is None else moment.astimezone(UTC).strftime(form)
