"""Why a request about environments is refused."""

from beta9_provisioning.kit.refused import Fault, Refused


class NotFound(Refused):
    """There is no such environment, or it belongs to somebody else."""

    def __init__(self, environment_id: str) -> None:
        super().__init__(f"There is no environment {environment_id[:64]!r}.")


class ConfigurationRefused(Refused):
    """The configuration is well-formed, but this installation does not allow it."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("This installation does not allow the configuration.", *faults)


class NameTaken(Refused):
    """Another live environment of the same organization has this name; perhaps an operation of it runs."""

    def __init__(self, name: str, operation_id: str | None = None) -> None:
        super().__init__(
            f"Your organization has a live environment named {name!r} already.",
            Fault("name", "choose another name, or delete that environment first"),
            operation_id=operation_id,
        )


class OperationRunning(Refused):
    """An operation of the environment runs, which the request contradicts."""

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"A destroy of the environment runs already, the operation {operation_id}, which does otherwise "
            "with its objects. Nothing was changed: ask without `objects`, or again when it has ended.",
            operation_id=operation_id,
        )


class QuotaExceeded(Refused):
    """The caller has created as many live environments as this installation allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You have {limit} live environments, which is MAX_ENVIRONMENTS_PER_USER. Delete one first."
        )


class KeyReused(Refused):
    """An idempotency key came again with another configuration."""

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was used for another configuration.",
            Fault("Idempotency-Key", "take a new key for every new environment"),
        )


class DeletionProtected(Refused):
    """The environment's configuration forbids its deletion."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The environment {name!r} has deletion protection.",
            Fault(
                "deletion_protection",
                "must be false before the environment can be deleted; turn it off with PATCH, or with "
                "`beta9-provisioning env update ID --no-deletion-protection`",
            ),
        )


class NoCluster(Refused):
    """The environment has no cluster to connect to: not yet, or no longer."""

    def __init__(self, status: str) -> None:
        super().__init__(
            f"The environment has no cluster to connect to: it is {status}. Ask when it is ready."
        )


class NotReadable(Refused):
    """The stored configuration is of another release, and what is asked for needs a part of it."""

    def __init__(self) -> None:
        super().__init__(
            "The environment's stored configuration is of another release, and this one cannot read its "
            "`cloud`. Ask a service of the newest release."
        )
