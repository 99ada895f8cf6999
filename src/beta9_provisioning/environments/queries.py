"""Questions about environments, answered in wire types. All functions take a session.

`owner` is the id of the organization whose environments are asked for; None asks for those of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from beta9_provisioning.audit.record import Author, write
from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.environments import ids, wire
from beta9_provisioning.environments.errors import NoCluster, NotFound, NotReadable
from beta9_provisioning.kit import cursors
from beta9_provisioning.lifecycle import FINAL, EnvironmentStatus
from beta9_provisioning.operations.records import journal
from beta9_provisioning.operations.records.leases import LIVE_WORKERS
from beta9_provisioning.operations.records.model import EnvironmentRow, OperationRow
from beta9_provisioning.schemas.configuration import Cloud as CloudSection
from beta9_provisioning.schemas.environment import Environment, EnvironmentPage, Event, EventPage

_KUBECONFIG_OUTPUTS = ("cluster_name", "cluster_endpoint", "cluster_ca")


def get(session: Session, environment_id: str, *, owner: str | None) -> Environment:
    """Return an environment.

    Raises:
        NotFound: the owner has no such environment.
    """
    row, operation, live_workers = _find(session, environment_id, owner)
    return wire.environment(row, operation, live_workers=live_workers)


def page(
    session: Session,
    *,
    owner: str | None,
    limit: int,
    cursor: str | None = None,
    statuses: Sequence[EnvironmentStatus] = (),
    name: str | None = None,
) -> EnvironmentPage:
    """Return one page of the owner's environments, newest first; one query.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = select(*wire.SUMMARY).where(_is_of(owner))
    if statuses:
        query = query.where(EnvironmentRow.status.in_(statuses))
    if name is not None:
        query = query.where(EnvironmentRow.name == name)
    place = EnvironmentRow.created_at, EnvironmentRow.id
    rows, following = cursors.page(session, query, place, limit=limit, cursor=cursor, ids=ids.FORM)
    return EnvironmentPage(items=[wire.summary(row) for row in rows], next_cursor=following)


def events(session: Session, environment_id: str, *, owner: str | None, after: int, limit: int) -> EventPage:
    """Return a stretch of an environment's history, oldest first.

    Raises:
        NotFound: the owner has no such environment.
    """
    check_owner(session, environment_id, owner=owner)
    rows = journal.read(session, environment_id, after=after, limit=limit + 1)
    items = [wire.event(row) for row in rows[:limit]]
    return EventPage(items=items, next_after=items[-1].id if len(rows) > limit else None)


@dataclass(frozen=True)
class News:
    """What happened after an event, whether more can come without a new request, and the last event's id."""

    events: list[Event]
    is_over: bool
    last: int


def news(session: Session, environment_id: str, *, after: int, limit: int) -> News:
    """Return the events after one, and whether they are the last: nothing is running, and all were read."""
    # One statement, so that both belong together: the number that was last when the operation stood so.
    last, status = session.execute(
        select(EnvironmentRow.last_event, OperationRow.status)
        .join(OperationRow, OperationRow.environment_id == EnvironmentRow.id)
        .where(EnvironmentRow.id == environment_id)
        .order_by(OperationRow.number.desc())
        .limit(1)
    ).one()
    found: list[Event] = []
    if last > after:
        rows = journal.read(session, environment_id, after=after, limit=limit)
        found = [wire.event(row) for row in rows]
    # What was read beyond `last` came after the first statement, as did what it belongs to. What is missing
    # before it was pruned.
    read_all = len(found) < limit and (not found or found[-1].id <= last)
    return News(found, is_over=status in FINAL and read_all, last=last)


def kubeconfig(session: Session, environment_id: str, *, owner: str | None, by: Author) -> str:
    """Return a kubeconfig (YAML) for the environment's cluster; it holds no secret.

    That it was read is recorded, in the session's transaction.

    Raises:
        NotFound: the owner has no such environment.
        NoCluster: it has no cluster, not yet or no longer.
        NotReadable: its stored configuration is of another release.
    """
    row, _, _ = _find(session, environment_id, owner)
    outputs = row.outputs
    if row.status == EnvironmentStatus.DESTROYED or not all(outputs.get(key) for key in _KUBECONFIG_OUTPUTS):
        raise NoCluster(row.status)
    try:
        place = CloudSection.model_validate(row.config["cloud"])  # nothing else of it matters here
        cloud = CLOUDS[place.provider]
    except (KeyError, ValidationError) as error:
        raise NotReadable from error
    text = cloud.user_kubeconfig(place, outputs)
    write(
        session,
        by,
        "environment.kubeconfig",
        organization_id=row.owner,
        object_type="environment",
        object_id=row.id,
    )
    return text


def check_owner(session: Session, environment_id: str, *, owner: str | None) -> None:
    """Check that the environment exists and is the owner's.

    Raises:
        NotFound: it does not exist, or belongs to somebody else.
    """
    found = ids.is_id(environment_id) and session.scalar(
        select(EnvironmentRow.id).where(EnvironmentRow.id == environment_id, _is_of(owner))
    )
    if not found:
        raise NotFound(environment_id)


def _is_of(owner: str | None) -> ColumnElement[bool]:
    return true() if owner is None else EnvironmentRow.owner == owner


def _find(
    session: Session, environment_id: str, owner: str | None
) -> tuple[EnvironmentRow, OperationRow, int]:
    """Return the environment, its latest operation, and how many workers live; one query."""
    found = (
        ids.is_id(environment_id)
        and session.execute(
            select(EnvironmentRow, OperationRow, LIVE_WORKERS)
            .join(OperationRow, OperationRow.environment_id == EnvironmentRow.id)
            .where(EnvironmentRow.id == environment_id, _is_of(owner))
            .order_by(OperationRow.number.desc())
            .limit(1)
        ).one_or_none()
    )
    if not found:
        raise NotFound(environment_id)
    row, operation, live_workers = found
    return row, operation, live_workers
