"""The first rows of an environment, in one statement: other creates of its owner wait meanwhile."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, insert, literal, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert

from beta9_provisioning.operations.records.journal import NewEvent, values
from beta9_provisioning.operations.records.model import Base, EnvironmentRow, EventRow, OperationRow

_ENVIRONMENT = (
    "id", "owner", "name", "provider", "region", "account_id", "config", "config_version",
    "deletion_protection", "status", "last_event", "created_by", "created_at", "updated_at",
)  # fmt: skip
_OPERATION = (
    "id", "environment_id", "number", "kind", "status", "config", "config_version", "requested_by",
    "request_id", "traceparent", "created_at",
)  # fmt: skip
_EVENT = ("environment_id", "id", "at", "operation_id", "type", "message", "data")
_EVENTS = ("first_event", "second_event")


def write(
    session: Session,
    environment: EnvironmentRow,
    operation: OperationRow,
    events: Sequence[NewEvent],
    at: datetime,
) -> None:
    """Write an environment, its first operation and its first two events, all at one time.

    The rows are the caller's, and not the session's; what they leave out is as the tables have it.
    """
    written = dict(zip(_EVENTS, events, strict=True))
    session.execute(
        _STATEMENT,
        {
            **{f"environment_{name}": getattr(environment, name) for name in _ENVIRONMENT},
            **{f"operation_{name}": getattr(operation, name) for name in _OPERATION},
            **{
                f"{prefix}_{name}": value
                for number, (prefix, event) in enumerate(written.items(), start=1)
                for name, value in values(environment.id, number, event, at).items()
            },
        },
    )


def _parameters(table: type[Base], prefix: str, names: Sequence[str]) -> Iterator[BindParameter[Any]]:
    return (bindparam(f"{prefix}_{name}", type_=table.__table__.c[name].type) for name in names)


def _row(table: type[Base], prefix: str, names: Sequence[str]) -> Insert:
    return insert(table).values(dict(zip(names, _parameters(table, prefix, names), strict=True)))


def _event(prefix: str) -> Select[Any]:
    return select(*_parameters(EventRow, prefix, _EVENT))


# Made once, so that SQLAlchemy compiles it once.
_STATEMENT = select(literal(1)).add_cte(
    _row(EnvironmentRow, "environment", _ENVIRONMENT).cte("environment"),
    _row(OperationRow, "operation", _OPERATION).cte("operation"),
    insert(EventRow).from_select(list(_EVENT), union_all(*map(_event, _EVENTS))).cte("events_of_both"),
)
