"""Pruning: the journal's old details are deleted, its summaries stay.

Nothing that decides reads what is pruned: of an environment that still exists all stays that tells what was
built (`DECIDING`), and of every environment the course of its life (`SUMMARIES`).
"""

import argparse
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, delete, func, or_, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit.database import (
    DatabaseUnavailable,
    Sessions,
    check,
    connect,
    sessions,
    transaction,
)
from beta9_provisioning.kit.database_errors import describe
from beta9_provisioning.lifecycle import EnvironmentStatus
from beta9_provisioning.operations.records.model import (
    KEY_LIFE,
    Base,
    EnvironmentRow,
    EventRow,
    IdempotencyRow,
)
from beta9_provisioning.settings import Settings, run_or_explain

SUMMARIES = (
    "environment.status",
    "environment.changed",
    "operation.queued",
    "operation.claimed",
    "operation.interrupted",
    "operation.resumed",
    "operation.finished",
)
"""Types of events that are never pruned."""
DECIDING = ("step.started", "terraform.resource")
"""Types that stay until the environment is destroyed: `store.claim` and `records.standing` read them."""

_BATCH = 1000


@dataclass(frozen=True)
class Pruned:
    """How much was deleted."""

    events: int
    keys: int


def prune(factory: Sessions, older_than: timedelta, *, batch: int = _BATCH) -> Pruned:
    """Delete details that are older, and idempotency keys that count no more; in short transactions.

    Several may prune at the same time: what one of them holds is left to it.

    Raises:
        SQLAlchemyError: when the database is away or busy; what was deleted until then is.
    """
    return Pruned(
        _delete_in_batches(factory, EventRow, _details(older_than), batch),
        _delete_in_batches(factory, IdempotencyRow, _spent_keys(), batch),
    )


def _details(older_than: timedelta) -> Select[Any, Any]:
    return (
        select(EventRow.environment_id, EventRow.id)
        .join(EnvironmentRow, EnvironmentRow.id == EventRow.environment_id)
        .where(
            EventRow.at < func.clock_timestamp() - older_than,
            EventRow.type.not_in(SUMMARIES),
            or_(EnvironmentRow.status == EnvironmentStatus.DESTROYED, EventRow.type.not_in(DECIDING)),
        )
    )


def _spent_keys() -> Select[Any, Any]:
    return select(IdempotencyRow.owner, IdempotencyRow.key).where(
        IdempotencyRow.created_at < func.clock_timestamp() - KEY_LIFE
    )


def _delete_in_batches(factory: Sessions, table: type[Base], doomed: Select[Any, Any], batch: int) -> int:
    """Delete the rows whose keys `doomed` selects, and return how many there were."""
    key = tuple_(*doomed.selected_columns)
    some = doomed.limit(batch).with_for_update(of=table, skip_locked=True)
    total = 0
    while True:
        with transaction(factory) as session:
            found = [tuple(row) for row in session.execute(some)]
            if found:
                session.execute(delete(table).where(key.in_(found)))
        total += len(found)
        if len(found) < batch:
            return total


def main(settings: Settings) -> int:
    """Prune as the settings or the command line say; for `beta9-provisioning db prune`."""
    parser = argparse.ArgumentParser(prog="beta9-provisioning db prune")
    parser.add_argument("--older-than", type=int, default=settings.event_retention_days, metavar="DAYS")
    days = parser.parse_args().older_than
    if days < 1:
        print(  # noqa: T201
            "error: EVENT_RETENTION_DAYS is 0, which keeps everything. Set it, or say --older-than DAYS.",
            file=sys.stderr,
        )
        return 2
    engine = connect(settings.database_url, pool_size=1)
    try:
        check(engine)
        done = prune(sessions(engine), timedelta(days=days))
    except DatabaseUnavailable as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except SQLAlchemyError as error:
        print(f"error: {describe(error)}. Run it again: it goes on where it stopped.", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        engine.dispose()
    print(f"{done.events} events and {done.keys} idempotency keys were deleted.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
