"""The proof that an attempt is over, children and all: what it locked may be taken only then."""

from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import AttemptRow

log = structlog.get_logger(__name__)


def is_over(factory: Sessions, token: str) -> bool:
    """Return whether `token` names an attempt whose worker and children can do nothing any more.

    That is so when the attempt has ended, by itself or because its worker was judged dead
    (`records.leases`), and its lease has run out as well. A worker that lives and cannot renew stops its
    children after half a lease and kills them a third of a lease later (ADR 4): by the end of the lease none
    is left, even if the worker was called dead before. What names no attempt of ours is never over, and nor
    is anything while the database cannot be asked.
    """
    try:
        lease_token = UUID(token)
    except ValueError:
        return False
    proven = select(AttemptRow.lease_token).where(
        AttemptRow.lease_token == lease_token,
        AttemptRow.ended_at.is_not(None),
        AttemptRow.lease_expires_at < func.clock_timestamp(),
    )
    try:
        with transaction(factory) as session:
            return session.scalar(proven) is not None
    except SQLAlchemyError as error:
        log.warning("proof_delayed", error=type(error).__name__)
        return False
