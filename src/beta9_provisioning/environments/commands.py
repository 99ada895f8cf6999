"""Create and delete environments. All functions take a session and leave the commit to the caller."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Select, and_, false, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from beta9_provisioning.access import organizations
from beta9_provisioning.access.errors import NoMember
from beta9_provisioning.audit.record import Author, write
from beta9_provisioning.environments import ids, rules, wire
from beta9_provisioning.environments.errors import (
    DeletionProtected,
    KeyReused,
    NameTaken,
    NotFound,
    OperationRunning,
    QuotaExceeded,
)
from beta9_provisioning.kit.origin import UNKNOWN, Origin
from beta9_provisioning.lifecycle import FINAL, EnvironmentStatus, Kind, OperationStatus
from beta9_provisioning.operations.records.journal import NewEvent, append
from beta9_provisioning.operations.records.model import KEY_LIFE, EnvironmentRow, IdempotencyRow, OperationRow
from beta9_provisioning.operations.records.store import begin, latest, lock_environment, queue, request_cancel
from beta9_provisioning.schemas.configuration import (
    CONFIG_VERSION,
    EnvironmentConfig,
    OnDelete,
    with_earlier_defaults,
)
from beta9_provisioning.schemas.environment import Environment, EnvironmentChanges
from beta9_provisioning.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """What a command did; `operation_id` is the operation to tell the workers of, if any."""

    environment: Environment
    operation_id: str | None


@dataclass(frozen=True)
class Replay:
    """The answer to a create whose idempotency key comes again: the first one as it was stored.

    It is not read as an `Environment`: what a later release demands of one, the answer of an earlier release
    need not have.
    """

    environment_id: str
    answer: dict[str, Any]


def replay(session: Session, *, owner: str, idempotency_key: str, body: bytes) -> Replay | None:
    """Return the first answer to this very body, valid or not by now; None when there is none."""
    known = session.scalar(select(IdempotencyRow).where(_is_first_use(owner, idempotency_key)))
    if known is None or not _has_body(known, body):
        return None
    return Replay(known.environment_id, known.response)


def create(
    session: Session,
    config: EnvironmentConfig,
    *,
    owner: str,
    by: Author,
    settings: Settings,
    idempotency_key: str | None = None,
    body: bytes | None = None,
    origin: Origin = UNKNOWN,
) -> Outcome | Replay:
    """Add an environment and queue its provision.

    With an idempotency key that was used in the last 24 hours, the first answer is given again: when the
    body is the same, or the configuration in it is, however it is written.

    Args:
        session: left to the caller to commit.
        config: what is wanted.
        owner: id of the organization whose it will be.
        by: the caller.
        settings: of this installation.
        idempotency_key: of the request, if it has one.
        body: of the request, as it was sent, if it came in one.
        origin: of the request; the operation keeps it.

    Raises:
        ConfigurationRefused: the installation does not allow the configuration.
        KeyReused: the idempotency key came with another configuration before.
        NameTaken: a live environment of the owner has this name.
        QuotaExceeded: the caller has created as many live environments as are allowed.
        NoMember: the organization was deleted.
    """
    # Made before others of this owner begin to wait.
    document = config.model_dump(mode="json")
    question = _first_look(owner, by.id, config.name, idempotency_key)
    # One create of an owner at a time: counting and inserting is then one step, and so is a key's first use.
    organizations.lock(session, owner)
    now, own, same_name, is_live, known = session.execute(question).one()
    if not is_live:
        raise NoMember
    if known is not None:
        if not (_has_body(known, body) or _has_configuration(known, config)):
            raise KeyReused
        return Replay(known.environment_id, known.response)
    rules.check(config, settings.allowed_regions)
    if same_name:
        raise NameTaken(config.name, _live_operation(session, owner, config.name))
    if own >= settings.max_environments_per_user:
        raise QuotaExceeded(settings.max_environments_per_user)
    row = _new_row(config, document, owner, now)
    operation = begin(session, row, by.id, origin)
    answer = wire.environment(row, operation)
    if idempotency_key is not None:
        _keep(
            session,
            owner=owner,
            key=idempotency_key,
            request_digest=_digest(json.dumps(document, sort_keys=True).encode()),
            body_digest=None if body is None else _digest(body),
            environment_id=row.id,
            response=answer.model_dump(mode="json"),
            created_at=now,
        )
    _record(session, by, "create", row, after=document)
    return Outcome(answer, operation.id)


def update(
    session: Session, environment_id: str, changes: EnvironmentChanges, *, owner: str | None, by: Author
) -> Environment:
    """Change what needs no operation; the same value again changes nothing and is not told.

    Args:
        session: left to the caller to commit.
        environment_id: which.
        changes: what to change.
        owner: id of the organization whose it must be; None for any.
        by: the caller.

    Raises:
        NotFound: the owner has no such environment.
    """
    row = _owned(session, environment_id, owner)
    if row.deletion_protection == changes.deletion_protection:
        return wire.environment(row, latest(session, row.id))
    before = {"deletion_protection": row.deletion_protection}
    row.deletion_protection = changes.deletion_protection
    row.config = {**row.config, "deletion_protection": changes.deletion_protection}
    row.updated_at = func.clock_timestamp()
    session.flush()
    turned = "on" if changes.deletion_protection else "off"
    told = NewEvent("environment.changed", f"Deletion protection was turned {turned}.", changes.model_dump())
    append(session, row.id, [told])
    answer = wire.environment(row, latest(session, row.id))
    _record(session, by, "update", row, before=before, after=changes.model_dump(mode="json"))
    return answer


def delete(
    session: Session,
    environment_id: str,
    *,
    owner: str | None,
    by: Author,
    origin: Origin = UNKNOWN,
    objects: OnDelete | None = None,
) -> Outcome:
    """Queue the destroy of an environment, whatever state it is in.

    A create that waits is cancelled at once, and the destroy still runs: it is cheap, and shows that nothing
    is left. A create that runs is asked to stop, and the destroy waits behind it. A destroy that waits or
    runs is the answer itself, unless it runs with another word on objects; one that failed is followed by a
    new one. A destroyed environment stays as it is.

    Args:
        session: left to the caller to commit.
        environment_id: which.
        owner: id of the organization whose it must be; None for any.
        by: the caller.
        origin: of the request; the operation keeps it.
        objects: goes before `data.object_store.on_delete` for this destroy, and for one that still waits.

    Raises:
        NotFound: the owner has no such environment.
        DeletionProtected: its configuration forbids it.
        OperationRunning: its destroy runs, and does otherwise with objects.
    """
    row = _owned(session, environment_id, owner)
    last = latest(session, row.id)
    if row.status == EnvironmentStatus.DESTROYED:
        return Outcome(wire.environment(row, last), None)
    if last.kind == Kind.DESTROY and last.status not in FINAL:
        said = _with_objects(last.config, objects)
        if last.status == OperationStatus.QUEUED and said != last.config:
            last.config = said
            _record(session, by, "delete", row, after={"operation_id": last.id, "objects": objects})
        elif objects not in (None, _object_store(last.config).get("on_delete", OnDelete.DELETE)):
            raise OperationRunning(last.id)
        return Outcome(wire.environment(row, last), last.id)
    if row.deletion_protection:
        raise DeletionProtected(row.name)
    before = {"name": row.name, "status": row.status}
    # Queued before the cancel, so that the environment goes straight to destroy_queued, not by way of failed.
    destroy = queue(session, row, Kind.DESTROY, by.id, origin)
    destroy.config = _with_objects(destroy.config, objects)
    for operation in _live_builds(session, row.id):
        request_cancel(session, operation)
    session.flush()
    session.refresh(row)
    outcome = Outcome(wire.environment(row, destroy), destroy.id)
    after = {"name": row.name, "status": row.status, "operation_id": destroy.id}
    if objects is not None:
        after["objects"] = objects
    _record(session, by, "delete", row, before=before, after=after)
    return outcome


def _with_objects(config: dict[str, Any], objects: OnDelete | None) -> dict[str, Any]:
    """Return an operation's configuration with this request's word on objects, if it has one.

    What is stored may be of any version, so that nothing in it is taken for granted (ADR 9).
    """
    if objects is None:
        return config
    data = config.get("data")
    merged = {**_object_store(config), "on_delete": str(objects)}
    return {**config, "data": {**(data if isinstance(data, dict) else {}), "object_store": merged}}


def _object_store(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a stored configuration, which may be of any version, says of the object store."""
    data = config.get("data")
    store = data.get("object_store") if isinstance(data, dict) else None
    return store if isinstance(store, dict) else {}


def _owned(session: Session, environment_id: str, owner: str | None) -> EnvironmentRow:
    """Return the owner's environment, locked."""
    row = lock_environment(session, environment_id) if ids.is_id(environment_id) else None
    if row is None or (owner is not None and row.owner != owner):
        raise NotFound(environment_id)
    return row


def _record(session: Session, by: Author, verb: str, row: EnvironmentRow, **change: Any) -> None:
    """Write what was done into the audit log of the environment's organization."""
    write(
        session,
        by,
        f"environment.{verb}",
        organization_id=row.owner,
        object_type="environment",
        object_id=row.id,
        **change,
    )


def _is_first_use(owner: str, key: str | None) -> ColumnElement[bool]:
    """Return the condition of a key's first use, unless that is old enough to be forgotten."""
    return and_(
        IdempotencyRow.owner == owner,
        IdempotencyRow.key == key if key is not None else false(),
        IdempotencyRow.created_at > func.clock_timestamp() - KEY_LIFE,
    )


def _keep(session: Session, **values: Any) -> None:
    """Keep the first answer to a key, in the place of one that has expired."""
    new = insert(IdempotencyRow).values(**values)
    session.execute(new.on_conflict_do_update(index_elements=["owner", "key"], set_=values))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _has_body(known: IdempotencyRow, body: bytes | None) -> bool:
    """Tell whether the first request had this body."""
    return body is not None and known.body_digest == _digest(body)


def _has_configuration(known: IdempotencyRow, config: EnvironmentConfig) -> bool:
    """Tell whether the first request had this configuration.

    Both are read by today's schema, so that a default which has come since makes no difference; nor does one
    that has changed. Keys of 0.1.0 are known by this alone.
    """
    try:
        first = EnvironmentConfig.model_validate(known.response["config"])
    except ValidationError:
        return False
    return first in (config, with_earlier_defaults(config))


def _first_look(
    owner: str, by: str, name: str, key: str | None
) -> Select[datetime, int, int, bool, IdempotencyRow | None]:
    """Ask for the time, for the caller's live environments, those named so, the organization, and the key."""
    live = (
        select(
            func.count().filter(EnvironmentRow.created_by == by).label("own"),
            func.count().filter(EnvironmentRow.name == name).label("same"),
        )
        .where(EnvironmentRow.owner == owner, EnvironmentRow.status != EnvironmentStatus.DESTROYED)
        .subquery()
    )
    return (
        select(func.clock_timestamp(), live.c.own, live.c.same, organizations.is_live(owner), IdempotencyRow)
        .select_from(live)
        .outerjoin(IdempotencyRow, _is_first_use(owner, key))
    )


def _new_row(
    config: EnvironmentConfig, document: dict[str, object], owner: str, now: datetime
) -> EnvironmentRow:
    return EnvironmentRow(
        id=ids.new(),
        owner=owner,
        name=config.name,
        provider=config.cloud.provider,
        region=config.cloud.region,
        account_id=config.cloud.account_id,
        config=document,
        config_version=CONFIG_VERSION,
        deletion_protection=config.deletion_protection,
        outputs={},
        created_at=now,
        updated_at=now,
    )


def _live_operation(session: Session, owner: str, name: str) -> str | None:
    """Return the operation of the owner's live environment of this name that waits or runs, if one does."""
    return session.scalar(
        select(OperationRow.id)
        .join(EnvironmentRow, EnvironmentRow.id == OperationRow.environment_id)
        .where(
            EnvironmentRow.owner == owner,
            EnvironmentRow.name == name,
            EnvironmentRow.status != EnvironmentStatus.DESTROYED,
            OperationRow.status.not_in(FINAL),
        )
        .order_by(OperationRow.number)
        .limit(1)
    )


def _live_builds(session: Session, environment_id: str) -> list[OperationRow]:
    return list(
        session.scalars(
            select(OperationRow).where(
                OperationRow.environment_id == environment_id,
                OperationRow.kind != Kind.DESTROY,
                OperationRow.status.not_in(FINAL),
            )
        )
    )
