"""Tables: environments, their operations and events, members and keys. Invariants are constraints here."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    FetchedValue,
    ForeignKey,
    Index,
    MetaData,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from beta9_provisioning.lifecycle import FINAL, RUNNING, EnvironmentStatus, Kind, OperationStatus
from beta9_provisioning.schemas.callers import MemberKind, Role


def _sql_list(values: object) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))  # type: ignore[call-overload]


_FINAL = _sql_list(FINAL)
_RUNNING = _sql_list(RUNNING)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy's own declaration
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


class EnvironmentRow(Base):
    """What an organization owns: `owner` is its id. `status` follows from the latest operation.

    `created_by` is the id of the member who created it, whose number of environments is limited; programs
    before revision 0009 know one caller, who is called `default`. `choices` is what its cloud chose for it
    when it was first synthesized; none before that.
    """

    __tablename__ = "environments"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    provider: Mapped[str]
    region: Mapped[str]
    account_id: Mapped[str | None]
    config: Mapped[dict[str, Any]]
    config_version: Mapped[int] = mapped_column(server_default=text("1"))
    state_version: Mapped[int] = mapped_column(server_default=text("1"))
    deletion_protection: Mapped[bool]
    status: Mapped[str]
    outputs: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    choices: Mapped[dict[str, Any] | None]
    last_event: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_by: Mapped[str] = mapped_column(server_default=text("'default'"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(f"status IN ({_sql_list(EnvironmentStatus)})", name="status"),
        Index(
            "uq_environments_live_name", "owner", "name", unique=True,
            postgresql_where=text("status <> 'destroyed'"),
        ),
        Index("ix_environments_page", "owner", text("created_at DESC"), text("id DESC")),
        Index("ix_environments_name", "owner", "name", text("created_at DESC"), text("id DESC")),
    )  # fmt: skip


class OperationRow(Base):
    """One request for change; `number` counts an environment's operations from 1."""

    __tablename__ = "operations"

    id: Mapped[str] = mapped_column(primary_key=True)
    environment_id: Mapped[str] = mapped_column(ForeignKey("environments.id"))
    number: Mapped[int]
    kind: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    config: Mapped[dict[str, Any]]
    config_version: Mapped[int] = mapped_column(server_default=text("1"))
    progress: Mapped[dict[str, Any] | None]
    requested_by: Mapped[str]
    request_id: Mapped[str | None]
    traceparent: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(f"kind IN ({_sql_list(Kind)})", name="kind"),
        CheckConstraint(f"status IN ({_sql_list(OperationStatus)})", name="status"),
        CheckConstraint(f"(status IN ({_FINAL})) = (finished_at IS NOT NULL)", name="finished"),
        Index("uq_operations_number", "environment_id", "number", unique=True),
        # One operation touches the cloud at a time; a destroy may wait behind it, but only one.
        Index(
            "uq_operations_running", "environment_id", unique=True,
            postgresql_where=text(f"status IN ({_RUNNING})"),
        ),
        Index(
            "uq_operations_live_build", "environment_id", unique=True,
            postgresql_where=text(f"kind <> 'destroy' AND status NOT IN ({_FINAL})"),
        ),
        Index(
            "uq_operations_live_destroy", "environment_id", unique=True,
            postgresql_where=text(f"kind = 'destroy' AND status NOT IN ({_FINAL})"),
        ),
        Index("ix_operations_queued", "created_at", postgresql_where=text("status = 'queued'")),
        Index(
            "ix_operations_unfinished", "environment_id", postgresql_where=text(f"status NOT IN ({_FINAL})")
        ),
    )  # fmt: skip


class AttemptRow(Base):
    """One worker's try at an operation, held by a lease.

    `events_recorded` counts the events that the attempt has written, so that none is written twice.
    """

    __tablename__ = "attempts"

    lease_token: Mapped[UUID] = mapped_column(primary_key=True)
    operation_id: Mapped[str] = mapped_column(ForeignKey("operations.id"))
    number: Mapped[int]
    worker: Mapped[str]
    liveness_key: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    lease_expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    events_recorded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    __table_args__ = (
        Index("uq_attempts_number", "operation_id", "number", unique=True),
        Index(
            "uq_attempts_live", "operation_id", unique=True, postgresql_where=text("ended_at IS NULL")
        ),
    )  # fmt: skip


class EventRow(Base):
    """The journal: what happened to an environment, numbered in the order of commit.

    Numbers count up by one; what is pruned leaves gaps (`records.prune`).
    """

    __tablename__ = "events"

    environment_id: Mapped[str] = mapped_column(ForeignKey("environments.id"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    operation_id: Mapped[str | None] = mapped_column(ForeignKey("operations.id"))
    type: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, Any]]

    __table_args__ = (
        Index("ix_events_at", "at", postgresql_using="brin"),
        # Programs before revision 0005 count status changes from history.
        Index(
            "ix_events_status", text("(data->>'to')"),
            postgresql_where=text("type = 'environment.status'"),
        ),
    )  # fmt: skip


class StatisticRow(Base):
    """A count that triggers keep with the change (migration 0005, ADR 10); nobody else writes it.

    One count has several rows, its shards, as many as transactions have counted at the same time: each takes
    one that is free, or adds one, and none waits for another.
    """

    __tablename__ = "statistics"

    figure: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    bound: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shard: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[float] = mapped_column(Double)


KEY_LIFE = timedelta(hours=24)
"""How long an idempotency key counts."""


class IdempotencyRow(Base):
    """The first answer to a create with an Idempotency-Key; after 24 hours it counts no more.

    `request_digest` is of the configuration with its defaults, as programs of 0.1.0 compare it; what we
    compare is `body_digest`, of the body as it was sent, which they leave empty.
    """

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[str]
    body_digest: Mapped[str | None]
    environment_id: Mapped[str] = mapped_column(ForeignKey("environments.id"))
    response: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class OrganizationRow(Base):
    """Owns environments and has members. One that is deleted keeps its id, not its name."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_organizations_live_name", "name", unique=True, postgresql_where=text("deleted_at IS NULL")
        ),
    )  # fmt: skip


class MemberRow(Base):
    """A user or a service account of an organization; `subject` is who it is to the OIDC issuer."""

    __tablename__ = "members"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    kind: Mapped[str]
    name: Mapped[str]
    subject: Mapped[str | None]
    role: Mapped[str]
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(f"kind IN ({_sql_list(MemberKind)})", name="kind"),
        CheckConstraint(f"role IN ({_sql_list(Role)})", name="role"),
        Index(
            "uq_members_live_name", "organization_id", "name", unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index(
            "uq_members_live_subject", "subject", "organization_id", unique=True,
            postgresql_where=text("removed_at IS NULL AND subject IS NOT NULL"),
        ),
        Index("ix_members_page", "organization_id", text("created_at DESC"), text("id DESC")),
    )  # fmt: skip


class ApiKeyRow(Base):
    """A member's API key, by its SHA-256; without `scopes` it is good for all that the member may do."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"))
    name: Mapped[str]
    digest: Mapped[str]
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    replaced_by: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))

    __table_args__ = (
        Index("ix_api_keys_page", "member_id", text("created_at DESC"), text("id DESC")),
    )  # fmt: skip


class AuditRecordRow(Base):
    """What somebody did or was refused; records are only ever added (migration 0010, docs/audit.md).

    A trigger gives `number`, `at` and `hash` (SHA-256, hexadecimal) whatever an insert says of them: numbers
    of an organization count from 1 without gaps, and its times never go back. `before` and `after` are JSON,
    kept as the text that was hashed.
    """

    __tablename__ = "audit_records"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, server_default=FetchedValue()
    )
    at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    actor: Mapped[str]
    actor_name: Mapped[str]
    key_id: Mapped[str | None]
    address: Mapped[str | None]
    action: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[str | None]
    decision: Mapped[str]
    reason: Mapped[str | None]
    request_id: Mapped[str | None]
    before: Mapped[str | None]
    after: Mapped[str | None]
    hash: Mapped[str] = mapped_column(server_default=FetchedValue())

    __table_args__ = (
        CheckConstraint("decision IN ('allowed', 'refused')", name="decision"),
        CheckConstraint("(decision = 'refused') = (reason IS NOT NULL)", name="reason"),
        # What a page may be filtered by, each in the order of pages.
        *(
            Index(f"ix_audit_records_{column}", "organization_id", column, "number")
            for column in ("at", "actor", "action", "object_id", "decision", "request_id")
        ),
    )


class AuditSignatureRow(Base):
    """A signed head: that an organization's record of this number had this hash; only ever added.

    `key` is the SHA-256 of the public key's DER form, `signature` is Ed25519's; both are hexadecimal.
    """

    __tablename__ = "audit_signatures"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str]
    signed_at: Mapped[datetime]
    key: Mapped[str]
    signature: Mapped[str]
