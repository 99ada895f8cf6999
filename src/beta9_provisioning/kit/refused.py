"""Refusals: each says what is wrong, in which field, and what is allowed. None of them knows HTTP."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request; `field` is a path such as `cloud.region`."""

    field: str
    message: str
    allowed: tuple[str, ...] | None = None


class Refused(Exception):
    """A request was understood and refused; nothing was changed."""

    def __init__(self, message: str, *faults: Fault) -> None:
        super().__init__(message)
        self.message = message
        self.faults = faults
