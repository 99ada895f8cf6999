"""How many keys a member may have."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from beta9_provisioning.access.credentials import key_counts
from beta9_provisioning.access.errors import TooManyKeys
from beta9_provisioning.operations.records.model import ApiKeyRow

MOST_KEYS = 100
"""Keys of one member that count at the same time."""


def check(session: Session, member_id: str, *, besides: str | None = None) -> None:
    """Refuse a further key of a member, whose row the caller holds locked: so two at once are both counted.

    Args:
        session: of the transaction that makes the key.
        member_id: whose key it would be.
        besides: id of the key in whose place it comes; that one is not counted.

    Raises:
        TooManyKeys: the member has as many that count as anybody may have.
    """
    counting = select(func.count()).where(
        ApiKeyRow.member_id == member_id,
        key_counts(),
        ApiKeyRow.id.is_distinct_from(besides),
    )
    if (session.scalar(counting) or 0) >= MOST_KEYS:
        raise TooManyKeys(MOST_KEYS)
