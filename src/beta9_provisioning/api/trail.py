"""What the log lines of one request have in common, and what it leaves for those who go on with its work."""

from dataclasses import dataclass, field
from typing import Annotated

import structlog
from fastapi import Depends, Request

from beta9_provisioning.kit.origin import Origin


@dataclass
class Trail:
    """Of one request.

    Attributes:
        origin: where the request comes from; the operation that it makes keeps this.
        made: ids of that operation and its environment, if it makes one.
    """

    origin: Origin
    made: dict[str, str] = field(default_factory=dict)

    def lead_to(self, environment_id: str, operation_id: str) -> None:
        """Note which operation the request is about, for the lines that follow."""
        self.made = {"environment_id": environment_id, "operation_id": operation_id}
        # Of a thread; the request's last line is written elsewhere.
        structlog.contextvars.bind_contextvars(**self.made)


async def _trail(request: Request) -> Trail:
    found = request.state.trail
    assert isinstance(found, Trail)
    return found


TrailDep = Annotated[Trail, Depends(_trail)]
