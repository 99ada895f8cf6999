"""Parameters that several routes have."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from beta9_provisioning.access import keys, members, organizations
from beta9_provisioning.environments import ids


class Parameters(BaseModel):
    """Base of the parameters of a query: an unknown one is a mistake."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class PageParameters(Parameters):
    """Which page of a list."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    """Most items on a page."""
    cursor: Annotated[str | None, Field(min_length=1, max_length=256)] = None
    """`next_cursor` of the page before."""


def _described(whose: str, pattern: str) -> object:
    # Its form is described, not validated: an id of another form is an unknown id, which is 404.
    return Path(description=f"The {whose}'s id.", json_schema_extra={"pattern": pattern})


EnvironmentId = Annotated[str, _described("environment", ids.PATTERN)]
OrganizationId = Annotated[str, _described("organization", organizations.ID_PATTERN)]
MemberId = Annotated[str, _described("member", members.ID_PATTERN)]
KeyId = Annotated[str, _described("key", keys.ID_PATTERN)]
