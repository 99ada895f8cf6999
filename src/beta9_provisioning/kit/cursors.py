"""Lists in pages, newest first. A cursor is the last row's place as base64url JSON, checked on return."""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from beta9_provisioning.kit.refused import Fault, Refused

_LONGEST = 256


class BadCursor(Refused):
    """A cursor did not come from a page of this list."""

    def __init__(self) -> None:
        super().__init__(
            "The cursor is not valid.", Fault("query.cursor", "pass next_cursor of a page as it was received")
        )


def page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    place: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[str]],
    *,
    limit: int,
    cursor: str | None,
    ids: re.Pattern[str],
) -> tuple[Sequence[Row[*tuple[Any, ...]]], str | None]:
    """Return the rows of a page, newest first, and the cursor of the next one, if there is one; one query.

    Args:
        session: may be outside a transaction.
        query: selects the columns of `place`, too.
        place: when a row was created, and its id.
        limit: most rows of a page.
        cursor: of the page before.
        ids: what the ids of these rows match.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    created_at, id_ = place
    query = query.order_by(created_at.desc(), id_.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(created_at, id_) < tuple_(*decode(cursor, ids)))
    rows = session.execute(query).all()
    shown = rows[:limit]
    return shown, encode(shown[-1].created_at, shown[-1].id) if len(rows) > limit else None


def encode(created_at: datetime, id_: str) -> str:
    """Return the cursor that continues after this row."""
    return base64.urlsafe_b64encode(json.dumps([created_at.isoformat(), id_]).encode()).decode()


def decode(cursor: str, ids: re.Pattern[str]) -> tuple[datetime, str]:
    """Return the place that a cursor names.

    Raises:
        BadCursor: it is not one of ours.
    """
    try:
        if len(cursor) > _LONGEST:
            raise BadCursor
        created_at, id_ = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        place = datetime.fromisoformat(created_at)
        if place.tzinfo is None or not ids.fullmatch(id_):
            raise BadCursor
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise BadCursor from error
    return place, id_
