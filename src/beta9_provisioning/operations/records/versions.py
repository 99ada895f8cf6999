"""Which operations a worker can take: none whose configuration or state is newer than itself (ADR 8)."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement

from beta9_provisioning.operations.records.model import EnvironmentRow, OperationRow
from beta9_provisioning.schemas.configuration import CONFIG_VERSION

STATE_VERSION = 2
"""Version of the Terraform states that this release writes.

It goes up by one when the release before cannot read such a state, or not take down all that it stands for.
"""


@dataclass(frozen=True)
class Versions:
    """The latest versions that a worker can handle, of configurations and of Terraform states."""

    config: int
    state: int


OURS = Versions(CONFIG_VERSION, STATE_VERSION)
"""Those of this release."""


class NewerThanWorker(Exception):
    """The configuration or state is of a later release than this worker; another has to take it."""


def within(versions: Versions) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a worker can take an operation; the query joins it with its environment."""
    return (OperationRow.config_version <= versions.config, EnvironmentRow.state_version <= versions.state)


def check(environment: EnvironmentRow, operation: OperationRow, versions: Versions) -> None:
    """Check that a worker can take an operation.

    Raises:
        NewerThanWorker: it cannot, and says why.
    """
    for what, found, latest in (
        ("configuration", operation.config_version, versions.config),
        ("Terraform state", environment.state_version, versions.state),
    ):
        if found > latest:
            raise NewerThanWorker(
                f"The {what} is of version {found}, and this worker knows {latest} as the latest: "
                "the operation waits for a worker of a newer release."
            )
