"""What the API says about callers: organizations, members, keys, the audit log, and who is asking."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from beta9_provisioning.schemas.environment import Wire


class Role(StrEnum):
    """What a member may do in the organization; each may do all that the one before may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    PLATFORM_ADMIN = "platform_admin"
    """An administrator of every organization, and of organizations."""


class Permission(StrEnum):
    """One thing that a role lets its members do; a key may be limited to some of them."""

    ENVIRONMENTS_READ = "environments:read"
    ENVIRONMENTS_WRITE = "environments:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    ORGANIZATIONS_READ = "organizations:read"
    ORGANIZATIONS_WRITE = "organizations:write"
    AUDIT_READ = "audit:read"


class MemberKind(StrEnum):
    """Who a member is."""

    USER = "user"
    SERVICE_ACCOUNT = "service_account"


class Sent(BaseModel):
    """Base of what is sent: an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
# An e-mail address is a name, too.
_MemberName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._%+@-]{0,98}[A-Za-z0-9])?$")]
_Subject = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]


class OrganizationNew(Sent):
    """An organization to create."""

    name: _Name


class Organization(Wire):
    """Owns environments, members and their keys."""

    id: str
    name: str
    created_at: datetime


class OrganizationPage(Wire):
    """One page of a list, newest first."""

    items: list[Organization]
    next_cursor: str | None
    """Pass it as `cursor` to read on; null on the last page."""


class MemberNew(Sent):
    """A member to add to the organization."""

    name: _MemberName
    """Unique in the organization, such as an e-mail address."""
    kind: MemberKind = MemberKind.USER
    subject: _Subject | None = None
    """Who it is to the OIDC issuer: the value of the claim OIDC_MEMBER_CLAIM. Without it only keys let in."""
    role: Role = Role.VIEWER


class MemberChanges(Sent):
    """What can be changed of a member."""

    role: Role


class Member(Wire):
    """A user or a service account of an organization."""

    id: str
    organization_id: str
    kind: MemberKind
    name: str
    subject: str | None
    role: Role
    created_at: datetime


class MemberPage(Wire):
    """One page of a list, newest first."""

    items: list[Member]
    next_cursor: str | None
    """Pass it as `cursor` to read on; null on the last page."""


class KeyNew(Sent):
    """An API key to create."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
    """What it is for."""
    member_id: str | None = None
    """Whose it will be; your own unless it is said. Administrators only."""
    scopes: Annotated[list[Permission], Field(min_length=1)] | None = None
    """All it may be used for; null for everything that its member may do."""
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = 90
    """Days until it counts no more; null for never."""


class KeyRotation(Sent):
    """How a key is replaced."""

    overlap_hours: Annotated[int, Field(ge=0, le=720)] = 24
    """Hours for which the old key still counts."""


class Key(Wire):
    """An API key, without its secret."""

    id: str
    organization_id: str
    member_id: str
    member_name: str
    name: str
    scopes: list[Permission] | None
    """All it may be used for; null for everything that its member may do."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To about a minute."""
    revoked_at: datetime | None
    replaced_by: str | None
    """Id of the key that came in its place."""


class KeyCreated(Wire):
    """A new key. Nobody can show its secret again."""

    key: Key
    secret: str
    """For `Authorization: Bearer`."""


class KeyPage(Wire):
    """One page of a list, newest first."""

    items: list[Key]
    next_cursor: str | None
    """Pass it as `cursor` to read on; null on the last page."""


class Identity(Wire):
    """Who is asking."""

    authentication: Literal["key", "oidc", "none"]
    member_id: str
    member_name: str
    organization_id: str
    """The organization to which new environments belong."""
    organization_name: str
    role: Role
    permissions: list[Permission]
    """What this caller may do: the role's permissions within the scopes of the key."""
    key_id: str | None
    key_expires_at: datetime | None


class OidcLogin(Wire):
    """How a command line gets a token from the OIDC issuer."""

    issuer: str
    client_id: str
    audience: str


class LoginMethods(Wire):
    """How to log in."""

    required: bool
    """False: everybody who reaches the service may do everything."""
    oidc: OidcLogin | None


class AuditRecord(Wire):
    """One thing that somebody did, or was refused."""

    organization_id: str
    number: int
    """Counts up by one in the organization."""
    at: datetime
    actor: str
    """Id of the member."""
    actor_name: str
    """What the member was called then."""
    key_id: str | None
    address: str | None
    """Where the request came from."""
    action: str
    """Such as `environment.create`; actions may be added."""
    object_type: str
    object_id: str | None
    decision: Literal["allowed", "refused"]
    reason: str | None
    """Why it was refused: the last part of the problem's type."""
    request_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str
    """SHA-256 over the record and the hash before it."""


class AuditPage(Wire):
    """One page of the audit log, newest first."""

    items: list[AuditRecord]
    next_cursor: str | None
    """Pass it as `cursor` to read on; null on the last page."""
