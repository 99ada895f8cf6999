"""What the API says about environments: the wire types of `/api/v1/environments`."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from beta9_provisioning.lifecycle import EnvironmentStatus, Kind, OperationStatus, Reason
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Provider


class Wire(BaseModel):
    """Base of the wire types; unknown fields are ignored, so that older clients read newer servers."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


# The first type that takes the value: a known word is an enum's, any other stays text.
_FIRST = Field(union_mode="left_to_right")


class OperationError(Wire):
    """Why an operation failed."""

    code: str
    """Stable, machine-readable."""
    message: str
    """What happened."""
    detail: str = ""
    """Why, as far as it is known."""
    remedy: str = ""
    """What to do."""


class Progress(Wire):
    """How far the current operation is."""

    step: str
    """The current step, for people."""
    done: int = 0
    """Resources finished."""
    total: int | None = None
    """Resources in all; null until the plan is known."""


class Operation(Wire):
    """One request for change, and how it went."""

    id: str
    kind: Kind
    status: OperationStatus
    reason: Annotated[Reason | str, _FIRST] | None = None
    """Why it ended without success; reasons may be added."""
    attempt: int = 0
    """How many times a worker has tried it."""
    cancel_requested: bool = False
    request_id: str | None = None
    """Id of the request that made it, `X-Request-ID`: the logs of API and workers know it by this one."""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class EnvironmentSummary(Wire):
    """An environment in a list."""

    environment_id: str
    organization_id: str | None = None
    """Whose it is; null from services before 0.3."""
    name: str
    status: EnvironmentStatus
    provider: Annotated[Provider | str, _FIRST]
    """Cloud provider; providers may be added."""
    region: str
    account_id: str | None
    created_at: datetime
    updated_at: datetime


class Environment(EnvironmentSummary):
    """An environment."""

    deletion_protection: bool
    config: Annotated[dict[str, Any] | EnvironmentConfig, _FIRST]
    """A mapping, as it was stored: by another release it may have fields that this one does not know."""
    outputs: dict[str, Any]
    """Addresses and names of what was built; empty until it is ready. No secrets."""
    error: OperationError | None
    operation: Operation
    """The latest operation."""
    progress: Progress | None
    """Null when no operation is running."""
    live_workers: int | None = None
    """Workers that live, busy or not; with none, nothing queued begins. Null in answers to changes."""


class EnvironmentPage(Wire):
    """One page of a list, newest first."""

    items: list[EnvironmentSummary]
    next_cursor: str | None
    """Pass it as `cursor` to read on; null on the last page."""


class EnvironmentChanges(BaseModel):
    """What can be changed of an environment without touching its infrastructure; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    deletion_protection: bool
    """Refuse to delete the environment while this is true."""


class Event(Wire):
    """One entry of an environment's history."""

    id: int
    """Counts up within an environment, by one but for what was pruned; the id of the server-sent event."""
    at: datetime
    operation_id: str | None
    type: str
    """`environment.status`, `operation.*`, `step.*`, `terraform.*`, `helm.*`; unknown types may come."""
    message: str
    """In the past tense, for people."""
    data: dict[str, Any]


RESTARTED = "stream.restarted"
"""Type of the event, with id 0, after which a stream begins anew: the client knew of events that are not."""


class EventPage(Wire):
    """A stretch of an environment's history, oldest first."""

    items: list[Event]
    next_after: int | None
    """Pass it as `after` to read on; null when there is nothing more yet."""


class FieldProblem(Wire):
    """One thing that is wrong with a request."""

    field: str
    """Where: a path such as `cloud.region`, `body`, `query.limit`."""
    message: str
    allowed: list[str] | None = None
    """What is allowed, where that is a list."""


class Problem(Wire):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: Annotated[list[FieldProblem], Field(default_factory=list)]
    operation_id: str | None = None
