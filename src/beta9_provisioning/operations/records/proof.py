"""The proof that an attempt is over, children and all: what it locked may be taken only then."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit.background import failed
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.database_errors import Trouble, trouble
from beta9_provisioning.operations.records.model import AttemptRow


class Fate(StrEnum):
    """What is known of the end of an attempt."""

    OVER = "over"
    """Its worker and children can do nothing any more."""
    ENDING = "ending"
    """It has ended, and will be over when its lease has run out."""
    UNKNOWN = "unknown"
    """It runs, is none of ours, or the database cannot be asked."""


def fate_of(factory: Sessions, token: str) -> Fate:
    """Return what is known of the attempt that `token` names.

    It is over when it has ended, by itself or because its worker was judged dead (`records.leases`), and its
    lease has run out as well. A worker that lives and cannot renew stops its children after half a lease and
    kills them a third of a lease later (ADR 4): by the end of the lease none is left, even if the worker was
    called dead before. The lease is the one that its own worker gave it, whatever others are set to.

    Raises:
        SQLAlchemyError: the database refuses the question for good.
    """
    try:
        lease_token = UUID(token)
    except ValueError:
        return Fate.UNKNOWN
    has_expired = select(AttemptRow.lease_expires_at < func.clock_timestamp()).where(
        AttemptRow.lease_token == lease_token, AttemptRow.ended_at.is_not(None)
    )
    try:
        with transaction(factory) as session:
            expired = session.scalar(has_expired)
    except SQLAlchemyError as error:
        if trouble(error) is Trouble.FAULT:
            raise
        failed("proof", error)
        return Fate.UNKNOWN
    if expired is None:
        return Fate.UNKNOWN
    return Fate.OVER if expired else Fate.ENDING
