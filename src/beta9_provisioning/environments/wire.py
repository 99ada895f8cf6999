"""From rows to wire types."""

from typing import Any

from sqlalchemy import Row

from beta9_provisioning.kit.texts import clean_document
from beta9_provisioning.lifecycle import FINAL, EnvironmentStatus, Kind, OperationStatus
from beta9_provisioning.operations.records.model import EnvironmentRow, EventRow, OperationRow
from beta9_provisioning.schemas.environment import (
    Environment,
    EnvironmentSummary,
    Event,
    Operation,
    OperationError,
    Progress,
)

SUMMARY = (
    EnvironmentRow.id,
    EnvironmentRow.owner,
    EnvironmentRow.name,
    EnvironmentRow.status,
    EnvironmentRow.provider,
    EnvironmentRow.region,
    EnvironmentRow.account_id,
    EnvironmentRow.created_at,
    EnvironmentRow.updated_at,
)
"""All that a summary shows: a list need not read configurations and outputs."""


def summary(row: EnvironmentRow | Row[*tuple[Any, ...]]) -> EnvironmentSummary:
    """Return an environment as a list shows it."""
    return EnvironmentSummary(
        environment_id=row.id,
        organization_id=row.owner,
        name=row.name,
        status=EnvironmentStatus(row.status),
        provider=row.provider,
        region=row.region,
        account_id=row.account_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def environment(row: EnvironmentRow, latest: OperationRow, *, live_workers: int | None = None) -> Environment:
    """Return an environment with its latest operation, and how many workers live if that was counted."""
    progress = latest.progress if latest.status not in FINAL else None
    return Environment(
        **summary(row).model_dump(),
        deletion_protection=row.deletion_protection,
        config=row.config,
        outputs=row.outputs,
        error=OperationError.model_validate(_bounded(latest.error)) if latest.error else None,
        operation=operation(latest),
        progress=Progress.model_validate(progress) if progress else None,
        live_workers=live_workers,
    )


def _bounded(error: dict[str, Any]) -> dict[str, Any]:
    """Return an error as it is written today; 0.1.0 and 0.2.0 stored texts of any length."""
    bounded: dict[str, Any] = clean_document(error)
    return bounded


def operation(row: OperationRow) -> Operation:
    """Return an operation."""
    return Operation(
        id=row.id,
        kind=Kind(row.kind),
        status=OperationStatus(row.status),
        reason=row.reason,
        attempt=row.attempts,
        cancel_requested=row.cancel_requested_at is not None,
        request_id=row.request_id,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def event(row: EventRow) -> Event:
    """Return an entry of the journal."""
    return Event(
        id=row.id,
        at=row.at,
        operation_id=row.operation_id,
        type=row.type,
        message=row.message,
        data=row.data,
    )
