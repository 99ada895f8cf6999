"""The rows of operations: queue, claim, move, cancel. Every change of status goes through `_move`.

All functions take a session and leave the commit to the caller; the event of a change is written in
the same transaction as the change. Rows are locked in one order, environment, operation, attempt, so
that two writers never wait for each other; that of the audit log comes after them (audit/record.py). Times
are the database's: its clock is the one that all share.

What a worker writes about its operation may be written again when the answer to a commit was lost: what the
same attempt has done already is left as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.ids import new_id
from beta9_provisioning.kit.origin import UNKNOWN, Origin, traceparent
from beta9_provisioning.kit.texts import clean_document, clean_text
from beta9_provisioning.lifecycle import (
    FINAL,
    RUNNING,
    EnvironmentStatus,
    Kind,
    OperationStatus,
    Reason,
    environment_status,
    moves,
)
from beta9_provisioning.operations.records import beginning
from beta9_provisioning.operations.records.fairness import is_at_limit, is_resumable
from beta9_provisioning.operations.records.journal import NewEvent, append
from beta9_provisioning.operations.records.model import AttemptRow, EnvironmentRow, EventRow, OperationRow
from beta9_provisioning.operations.records.versions import OURS, Versions, check

FIRST_TOUCH = "state"
"""Name of the first step that changes anything in the customer's account."""


class LeaseLost(Exception):
    """This attempt no longer holds its operation; whatever it wanted to write was not written."""


@dataclass(frozen=True)
class Claim:
    """An operation that a worker holds, and all it needs to know to run it.

    Attributes:
        status: where the operation stands: further than at its beginning if an earlier attempt came there.
        attempt: counts the operation's attempts from 1.
        provider: with `region` and `account_id` where the environment is, as its row says.
        waited: seconds from the request to the claim.
        spent: seconds from the operation's first claim to this one.
        touched_cloud: whether any operation of the environment may have changed the customer's account.
        was_interrupted: whether an earlier attempt at the environment ended otherwise than well, so that what
            it was at may be half done.
        choices: what was chosen for the environment when it was first synthesized; None before that.
        origin: where its request came from.
    """

    operation_id: str
    environment_id: str
    environment_name: str
    kind: Kind
    status: OperationStatus
    config: dict[str, Any]
    attempt: int
    lease_token: UUID
    waited: float
    touched_cloud: bool
    was_interrupted: bool
    provider: str
    region: str
    account_id: str | None
    choices: dict[str, Any] | None
    origin: Origin
    spent: float = 0.0

    @property
    def is_resumed(self) -> bool:
        """Whether this attempt goes on with what an earlier one at the same operation has begun."""
        return self.attempt > 1


@dataclass(frozen=True)
class Failure:
    """Why an operation did not succeed."""

    reason: Reason
    code: str
    message: str
    detail: str = ""
    remedy: str = ""

    def document(self) -> dict[str, str]:
        """Return the error as it is stored and shown: texts cleaned and bounded."""
        texts = {"code": self.code, "message": self.message, "detail": self.detail, "remedy": self.remedy}
        return {name: clean_text(text) for name, text in texts.items()}


CANCELLED = Failure(
    Reason.CANCELLED, "cancelled", "The operation was cancelled.", "", "Delete the environment to clean up."
)


def latest(session: Session, environment_id: str) -> OperationRow:
    """Return the environment's latest operation."""
    return session.scalars(
        select(OperationRow)
        .where(OperationRow.environment_id == environment_id)
        .order_by(OperationRow.number.desc())
        .limit(1)
    ).one()


def lock_environment(session: Session, environment_id: str) -> EnvironmentRow | None:
    """Return the environment's row, locked until the transaction ends; None when there is none."""
    return session.scalars(
        select(EnvironmentRow).where(EnvironmentRow.id == environment_id).with_for_update()
    ).one_or_none()


def try_lock_environment(session: Session, environment_id: str) -> bool:
    """Lock the environment's row until the transaction ends, unless somebody has it; return whether it is."""
    free = select(EnvironmentRow.id).where(EnvironmentRow.id == environment_id)
    return session.scalar(free.with_for_update(skip_locked=True)) is not None


def begin(
    session: Session, environment: EnvironmentRow, requested_by: str, origin: Origin = UNKNOWN
) -> OperationRow:
    """Add a new environment with its provision; their time is the environment's `created_at`.

    Neither belongs to the session afterwards.
    """
    operation = _operation(environment, Kind.PROVISION, 1, requested_by, origin)
    operation.created_at = environment.created_at
    environment.created_by = requested_by
    environment.status = status = environment_status(Kind.PROVISION, OperationStatus.QUEUED)
    events = [_queued(operation), _became(status, None, operation.id)]
    environment.last_event = len(events)
    beginning.write(session, environment, operation, events, environment.created_at)
    return operation


def queue(
    session: Session, environment: EnvironmentRow, kind: Kind, requested_by: str, origin: Origin = UNKNOWN
) -> OperationRow:
    """Add an operation to an environment whose row the caller holds locked."""
    number = session.scalar(
        select(func.coalesce(func.max(OperationRow.number), 0) + 1).where(
            OperationRow.environment_id == environment.id
        )
    )
    operation = _operation(environment, kind, number or 1, requested_by, origin)
    session.add(operation)
    session.flush()
    append(session, environment.id, [_queued(operation)])
    _publish(session, environment.id, operation.id, environment_status(kind, OperationStatus.QUEUED))
    return operation


def _operation(
    environment: EnvironmentRow, kind: Kind, number: int, requested_by: str, origin: Origin
) -> OperationRow:
    return OperationRow(
        id=new_id("op"),
        environment_id=environment.id,
        number=number,
        kind=kind,
        status=OperationStatus.QUEUED,
        config=environment.config,
        config_version=environment.config_version,
        requested_by=requested_by,
        request_id=origin.request_id,
        traceparent=origin.traceparent,
        created_at=func.clock_timestamp(),
        attempts=0,
    )


def _queued(operation: OperationRow) -> NewEvent:
    kind = operation.kind
    return NewEvent("operation.queued", f"A {kind} was requested.", {"kind": kind}, operation.id)


def _became(status: EnvironmentStatus, before: str | None, operation_id: str) -> NewEvent:
    return NewEvent("environment.status", f"Became {status}.", {"from": before, "to": status}, operation_id)


def claim(
    session: Session,
    operation_id: str,
    *,
    worker: str,
    liveness_key: int,
    lease_seconds: float,
    versions: Versions = OURS,
    token: UUID | None = None,
    most_of_one: int = 0,
) -> Claim | None:
    """Take an operation for one attempt; None when it is not there to be taken.

    It is when it is queued, no other operation of its environment runs, and fewer than `most_of_one` of its
    requester (0: any number may); or when it is under way and its last attempt has ended. With the `token` of
    a claim whose answer was lost, that claim is answered again.

    Raises:
        NewerThanWorker: its configuration or state is of a later version than `versions`; it stays queued.
    """
    environment_id = session.scalar(
        select(OperationRow.environment_id).where(OperationRow.id == operation_id)
    )
    environment = lock_environment(session, environment_id) if environment_id else None
    if environment is None:
        return None
    operation = session.get_one(OperationRow, operation_id)
    attempt = session.get(AttemptRow, token) if token else None
    if attempt is None:
        if not _is_free(session, operation, most_of_one):
            return None
        check(environment, operation, versions)
        environment.state_version = versions.state  # from now on its state may be one of this release
        attempt = AttemptRow(
            lease_token=token or runtime.uuid4(),
            operation_id=operation.id,
            number=operation.attempts + 1,
            worker=worker,
            liveness_key=liveness_key,
            started_at=func.clock_timestamp(),
            heartbeat_at=func.clock_timestamp(),
            lease_expires_at=func.clock_timestamp() + timedelta(seconds=lease_seconds),
        )
        _begin(session, operation, attempt)
    elif attempt.ended_at is not None:
        return None
    touched, interrupted = _history(session, environment.id, attempt.lease_token)
    return Claim(
        operation_id=operation.id,
        environment_id=environment.id,
        environment_name=environment.name,
        kind=Kind(operation.kind),
        status=OperationStatus(operation.status),
        config=operation.config,
        attempt=operation.attempts,
        lease_token=attempt.lease_token,
        waited=(attempt.started_at - operation.created_at).total_seconds(),
        touched_cloud=touched,
        was_interrupted=interrupted,
        provider=environment.provider,
        region=environment.region,
        account_id=environment.account_id,
        choices=environment.choices,
        origin=Origin(operation.request_id, traceparent(operation.traceparent)),
        spent=(attempt.started_at - (operation.started_at or attempt.started_at)).total_seconds(),
    )


def _begin(session: Session, operation: OperationRow, attempt: AttemptRow) -> None:
    kind = Kind(operation.kind)
    session.add(attempt)
    operation.attempts += 1
    if operation.started_at is None:
        operation.started_at = func.clock_timestamp()
    session.flush()
    data = {"worker": attempt.worker, "kind": kind, "attempt": attempt.number}
    if operation.status != OperationStatus.QUEUED:
        resumed = NewEvent("operation.resumed", "Another attempt went on.", data, operation.id)
        append(session, operation.environment_id, [resumed])
        return
    started = NewEvent("operation.claimed", "A worker took the operation.", data, operation.id)
    append(session, operation.environment_id, [started])
    first = min(moves(kind, OperationStatus.QUEUED) - FINAL)
    _move(session, operation.id, OperationStatus.QUEUED, first)
    session.refresh(operation, ["status"])


def advance(session: Session, claim: Claim, before: OperationStatus, after: OperationStatus) -> None:
    """Move a claimed operation to its path's next status.

    Raises:
        LeaseLost: when this attempt no longer holds the operation.
    """
    hold(session, claim)
    status = session.scalar(select(OperationRow.status).where(OperationRow.id == claim.operation_id))
    # The lease is this attempt's, so nobody else can have moved it there.
    if status != after:
        _move(session, claim.operation_id, before, after)


def hold(session: Session, claim: Claim, *, ended_as: str | None = None) -> AttemptRow:
    """Lock the environment and the attempt until the transaction ends, so that nobody takes over meanwhile.

    An attempt that has ended is returned if its outcome is `ended_as`: others end it as `worker_lost` only,
    so it was this worker that did, and the answer was lost.

    Raises:
        LeaseLost: when this attempt no longer holds the operation.
    """
    lock_environment(session, claim.environment_id)
    attempt = session.scalars(
        select(AttemptRow)
        .where(AttemptRow.lease_token == claim.lease_token)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    is_as_wanted = attempt is not None and (
        attempt.ended_at is None or (ended_as is not None and attempt.outcome == ended_as)
    )
    if attempt is None or not is_as_wanted:
        raise LeaseLost(f"operation {claim.operation_id}: attempt {claim.attempt} lost its lease")
    return attempt


def record(
    session: Session,
    claim: Claim,
    events: Sequence[NewEvent],
    progress: dict[str, Any] | None,
    *,
    after: int | None = None,
) -> None:
    """Write events of a claimed operation, and its progress unless None.

    With `after`, the number of the attempt's events that went before these, those are left out that the
    attempt has written already.

    Raises:
        LeaseLost: when this attempt no longer holds the operation.
    """
    attempt = hold(session, claim)
    if after is not None:
        known, attempt.events_recorded = attempt.events_recorded, after + len(events)
        events = events[max(0, known - after) :]
    append(session, claim.environment_id, events)
    if progress is not None:
        session.execute(
            update(OperationRow)
            .where(OperationRow.id == claim.operation_id)
            .values(progress=clean_document(progress))
        )


def succeed(session: Session, claim: Claim, before: OperationStatus, outputs: dict[str, Any] | None) -> None:
    """End a claimed operation well; `outputs` replace the environment's unless None.

    Raises:
        LeaseLost: when this attempt no longer holds the operation.
    """
    if hold(session, claim, ended_as="succeeded").ended_at is not None:
        return
    if outputs is not None:
        session.execute(
            update(EnvironmentRow)
            .where(EnvironmentRow.id == claim.environment_id)
            .values(outputs=clean_document(outputs))
        )
    end_attempt(session, claim.lease_token, "succeeded", is_over=True)
    _move(session, claim.operation_id, before, OperationStatus.SUCCEEDED)


def fail(session: Session, claim: Claim, failure: Failure, *, is_over: bool = False) -> None:
    """End a claimed operation with a failure; a cancel that was honoured ends as cancelled.

    `is_over` tells that all that the attempt started has ended.

    Raises:
        LeaseLost: when this attempt no longer holds the operation.
    """
    if hold(session, claim, ended_as=failure.reason).ended_at is not None:
        return
    end_attempt(session, claim.lease_token, failure.reason, is_over=is_over)
    fail_operation(session, claim.operation_id, failure)


def request_cancel(session: Session, operation: OperationRow) -> None:
    """Ask for the end of a live operation: by its worker when one has it, and else at once."""
    if operation.status == OperationStatus.QUEUED:
        fail_operation(
            session, operation.id, Failure(Reason.CANCELLED, "cancelled", "Cancelled before it started.")
        )
    elif operation.status not in FINAL and _is_free(session, operation):
        fail_operation(session, operation.id, CANCELLED)
    elif operation.cancel_requested_at is None and operation.status not in FINAL:
        operation.cancel_requested_at = func.clock_timestamp()
        asked = NewEvent("operation.cancel_requested", "Its cancellation was requested.", {}, operation.id)
        append(session, operation.environment_id, [asked])


def _history(session: Session, environment_id: str, token: UUID) -> tuple[bool, bool]:
    """Return whether history knows of a first touch, and of an attempt besides `token` that did not end well.

    Steps are journaled before they begin.
    """
    touched = exists().where(
        EventRow.environment_id == environment_id,
        EventRow.type == "step.started",
        EventRow.data["step"].astext == FIRST_TOUCH,
    )
    interrupted = exists().where(
        AttemptRow.operation_id == OperationRow.id,
        OperationRow.environment_id == environment_id,
        AttemptRow.lease_token != token,
        AttemptRow.outcome.is_distinct_from("succeeded"),
    )
    found = session.execute(select(touched, interrupted)).one()
    return bool(found[0]), bool(found[1])


def _is_free(session: Session, operation: OperationRow, most_of_one: int = 0) -> bool:
    """Return whether an operation may be claimed; the caller holds its environment locked."""
    if operation.status == OperationStatus.QUEUED:
        is_behind = _is_running(session, operation.environment_id)
        return not is_behind and not is_at_limit(session, operation.requested_by, most_of_one)
    return bool(session.scalar(select(exists().where(OperationRow.id == operation.id, is_resumable()))))


def _is_running(session: Session, environment_id: str) -> bool:
    return bool(
        session.scalar(
            select(
                exists().where(
                    OperationRow.environment_id == environment_id, OperationRow.status.in_(RUNNING)
                )
            )
        )
    )


def end_attempt(session: Session, token: UUID, outcome: str, *, is_over: bool) -> None:
    """Write an attempt's end; one that is over, children and all, gives the rest of its lease back."""
    values: dict[str, Any] = {"ended_at": func.clock_timestamp(), "outcome": outcome}
    if is_over:
        values["lease_expires_at"] = func.clock_timestamp()
    session.execute(update(AttemptRow).where(AttemptRow.lease_token == token).values(**values))


def fail_operation(session: Session, operation_id: str, failure: Failure) -> OperationStatus:
    """End an operation that no attempt holds, and return how; an honoured cancel ends as cancelled."""
    operation = session.get_one(OperationRow, operation_id, with_for_update=True, populate_existing=True)
    cancelled = failure.reason is Reason.CANCELLED
    status = OperationStatus.CANCELLED if cancelled else OperationStatus.FAILED
    _move(session, operation_id, OperationStatus(operation.status), status, failure)
    return status


def _move(
    session: Session,
    operation_id: str,
    before: OperationStatus,
    after: OperationStatus,
    failure: Failure | None = None,
) -> None:
    """Change a status as a compare-and-set, with its events; the environment's status follows."""
    operation = session.get_one(OperationRow, operation_id)
    kind = Kind(operation.kind)
    if after not in moves(kind, before):
        raise ValueError(f"a {kind} operation does not go from {before} to {after}")
    values: dict[str, Any] = {"status": after}
    if after in FINAL:
        values |= {"finished_at": func.clock_timestamp(), "progress": None}
    if failure is not None:
        values |= {"reason": failure.reason, "error": failure.document()}
    moved = session.execute(
        update(OperationRow)
        .where(OperationRow.id == operation_id, OperationRow.status == before)
        .values(**values)
        .returning(OperationRow.id)
    ).one_or_none()
    if moved is None:
        raise LeaseLost(f"operation {operation_id} was not {before} any more")
    if after in FINAL:
        append(session, operation.environment_id, [_finished(operation_id, kind, after, failure)])
    _publish(session, operation.environment_id, operation_id, environment_status(kind, after))


def _finished(operation_id: str, kind: Kind, status: OperationStatus, failure: Failure | None) -> NewEvent:
    data: dict[str, Any] = {"kind": kind, "status": status}
    message = f"The {kind} {status}." if status is OperationStatus.SUCCEEDED else f"The {kind} was {status}."
    if failure is not None:
        data |= {"reason": failure.reason, "error": failure.document()}
        message = failure.message
    return NewEvent("operation.finished", message, data, operation_id)


def _publish(session: Session, environment_id: str, operation_id: str, status: EnvironmentStatus) -> None:
    """Write the environment's status, unless a later operation speaks for it already."""
    if latest(session, environment_id).id != operation_id:
        return
    environment = session.get_one(EnvironmentRow, environment_id)
    session.refresh(environment, ["status"])
    before = environment.status
    if before == status:
        return
    environment.status = status
    environment.updated_at = func.clock_timestamp()
    session.flush()
    append(session, environment_id, [_became(status, before, operation_id)])
