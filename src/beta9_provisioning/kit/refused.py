"""Refusals: each says what is wrong, in which field, and what is allowed. None of them knows HTTP."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request; `field` is a path such as `cloud.region`."""

    field: str
    message: str
    allowed: tuple[str, ...] | None = None


class Refused(Exception):
    """A request was understood and refused; nothing was changed.

    Attributes:
        message: what to tell.
        faults: what is wrong, by field.
        operation_id: the operation that is in the way, if one is.
    """

    def __init__(self, message: str, *faults: Fault, operation_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.faults = faults
        self.operation_id = operation_id
