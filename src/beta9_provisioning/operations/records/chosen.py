"""What was chosen for an environment when it was first synthesized."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from beta9_provisioning.operations.records.model import EnvironmentRow
from beta9_provisioning.operations.records.store import Claim, hold


def keep_choices(session: Session, claim: Claim, choices: Mapping[str, Any]) -> None:
    """Keep what was chosen for the claim's environment, unless something was chosen before.

    Raises:
        LeaseLost: when this attempt no longer holds the operation.
    """
    hold(session, claim)
    session.execute(
        update(EnvironmentRow)
        .where(EnvironmentRow.id == claim.environment_id, EnvironmentRow.choices.is_(None))
        .values(choices=dict(choices))
    )
