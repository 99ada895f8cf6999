"""The chain of an organization's records: what is hashed, and following it from one record to the next."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import Row, Select, select, text
from sqlalchemy.orm import Session

from beta9_provisioning.operations.records.model import AuditRecordRow

_FORM = "beta9-audit-1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH = 2000
# One look into the index for each organization, however many records there are.
_NAMES = text(
    """WITH RECURSIVE names AS (
        SELECT min(organization_id) AS name FROM audit_records
        UNION ALL
        SELECT (SELECT min(organization_id) FROM audit_records WHERE organization_id > names.name) FROM names
        WHERE names.name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL"""
)


class Kind(StrEnum):
    """What is wrong with a chain."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    REBUILT = "rebuilt"
    CUT_OFF = "cut_off"
    SIGNATURE = "signature"


class Broken(Exception):
    """A chain does not hold from a record on.

    Attributes:
        kind: what happened to it, as far as that can be told.
        number: the first record that was changed or inserted, or that is missing.
        last: the last one that it may be, where only a stretch is known.
    """

    def __init__(self, kind: Kind, number: int, message: str, *, last: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.number = number
        self.last = number if last is None else last
        self.message = message


@dataclass(frozen=True)
class Link:
    """A place in a chain: a record's number and hash; number 0 is before the first."""

    number: int = 0
    hash: str | None = None


START = Link()


class Record(Protocol):
    """What of a record is hashed, and the hash that it has."""

    organization_id: str
    number: int
    at: datetime
    hash: str


def form(*values: str | None) -> str:
    """Return values as one text that no others have: each with its length before it, `-` for none."""
    return "".join("-," if value is None else f"{len(value)}:{value}," for value in values)


def microseconds(at: datetime) -> str:
    """Return a time as microseconds since 1970, as it is hashed and signed."""
    return str((at - _EPOCH) // timedelta(microseconds=1))


def digest(record: Any, number: int, previous: str | None) -> str:
    """Return the hash that a record must have with this number after this hash (migration 0010)."""
    hashed = form(
        _FORM, previous, record.organization_id, str(number), microseconds(record.at),
        record.actor, record.actor_name, record.key_id, record.address,
        record.action, record.object_type, record.object_id, record.decision, record.reason,
        record.request_id, record.before, record.after,
    )  # fmt: skip
    return hashlib.sha256(hashed.encode()).hexdigest()


def organizations(session: Session) -> Sequence[str]:
    """Return the names of all chains that have records."""
    return session.scalars(_NAMES).all()


def follow(session: Session, organization_id: str, start: Link = START) -> Iterator[Link]:
    """Read a chain's records after a place in batches, and yield the place of each.

    Raises:
        Broken: at the first record that does not go on from the one before it.
    """
    columns = AuditRecordRow.__table__.c
    query: Select[Any] = (
        select(*columns)
        .where(columns.organization_id == organization_id)
        .order_by(columns.number)
        .execution_options(yield_per=_BATCH)
    )
    if start.number:
        query = query.where(columns.number > start.number)
    with session.execute(query) as rows:
        yield from _follow(rows, start)


def _follow(rows: Iterable[Row[Any]], start: Link) -> Iterator[Link]:
    before, last = START, start
    for row in rows:
        if row.number != last.number + 1:
            raise _out_of_order(row.number, last.number + 1)
        if digest(row, row.number, last.hash) != row.hash:
            raise _unfit(row, before, last)
        before, last = last, Link(row.number, row.hash)
        yield last


def _out_of_order(found: int, expected: int) -> Broken:
    if found < expected:
        return Broken(
            Kind.INSERTED, found, f"record {found} was inserted: it is where {expected} should follow"
        )
    message = f"record {expected} was removed or renumbered: {found} is the next that is there"
    return Broken(Kind.REMOVED, expected, message)


def _unfit(row: Row[Any], before: Link, last: Link) -> Broken:
    if row.hash == last.hash:
        return Broken(
            Kind.INSERTED, row.number, f"record {row.number} was inserted: it is a copy of {last.number}"
        )
    if last.number > 1 and digest(row, last.number, before.hash) == row.hash:
        return Broken(
            Kind.INSERTED, last.number, f"record {last.number} was inserted: the next one was it before"
        )
    return Broken(
        Kind.CHANGED,
        row.number,
        f"record {row.number} was changed, or put in the place of another: its hash does not fit",
    )
