"""What stands in a cloud of an environment's stack, and what is known of it before the cloud is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Condition(StrEnum):
    """How a resource is that stands in the cloud."""

    READY = "ready"
    UNFINISHED = "unfinished"
    """It is being made or changed, and ends that by itself."""
    LEAVING = "leaving"
    """It is being deleted, and until then no other may have its name."""
    FAILED = "failed"
    """The cloud has given it up."""


@dataclass(frozen=True)
class Standing:
    """A resource of an environment's stack that the cloud shows.

    Attributes:
        address: its Terraform address.
        import_id: the id by which Terraform takes it into its state.
        condition: how it is.
        holds_data: whether somebody's data may be lost with it.
        status: the cloud's word for its condition; empty when it tells none.
    """

    address: str
    import_id: str
    condition: Condition
    holds_data: bool = False
    status: str = ""


@dataclass(frozen=True)
class Known:
    """What is known of an environment's resources before the cloud is asked.

    Attributes:
        stack: the arguments of all resources of its stack, as Terraform reads them, by address.
        state: the ids in Terraform's state, by address.
        journal: the ids of what the journal says was created and not deleted, by address; empty ids included.
    """

    stack: Mapping[str, Mapping[str, Any]]
    state: Mapping[str, str]
    journal: Mapping[str, str]
