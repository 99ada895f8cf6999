"""What Secrets Manager refuses: names that are taken, be it by secrets that wait for their deletion."""

from beta9_simulator.cloud.demand import Demand, Rule
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import StoredObject

DELETED = "days_until_deletion"
"""Attribute of a secret that waits for its deletion; it can be restored meanwhile."""


def check_name(holder: StoredObject | None) -> None:
    """Raise ``CloudError`` when a secret has the name that a new one shall have."""
    if holder is None:
        return
    if holder.state.get(DELETED):
        raise CloudError(
            "InvalidRequestException",
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        )
    raise CloudError(
        "ResourceExistsException", f"The operation failed because the secret {holder.name} already exists."
    )


def _secret(demand: Demand) -> None:
    if demand.prior is None:
        check_name(demand.named("aws_secretsmanager_secret", demand.state["name"]))


RULES: dict[str, Rule] = {"aws_secretsmanager_secret": _secret}
