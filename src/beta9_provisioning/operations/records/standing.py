"""What the journal knows of an environment's resources: which were created and not deleted since."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from beta9_provisioning.lifecycle import Kind, OperationStatus
from beta9_provisioning.operations.records.model import EventRow, OperationRow


def was_ready(session: Session, environment_id: str) -> bool:
    """Return whether any provision of an environment has succeeded."""
    provision = select(OperationRow.id).where(
        OperationRow.environment_id == environment_id,
        OperationRow.kind == Kind.PROVISION,
        OperationRow.status == OperationStatus.SUCCEEDED,
    )
    return session.scalar(provision.limit(1)) is not None


def journaled(session: Session, environment_id: str) -> dict[str, str]:
    """Return the ids of what was created and not deleted, by Terraform address; empty where none was told.

    Less may exist: somebody may have deleted it by hand, or a worker died before it wrote a deletion down.
    """
    rows = session.scalars(
        select(EventRow.data)
        .where(
            EventRow.environment_id == environment_id,
            EventRow.type == "terraform.resource",
            EventRow.data["phase"].astext == "complete",
        )
        .order_by(EventRow.id)
    )
    found: dict[str, str] = {}
    for data in rows:
        address = str(data.get("address"))
        if data.get("action") == "create":
            found[address] = str(data.get("id_value") or "")
        elif data.get("action") == "delete":
            found.pop(address, None)
    return found
