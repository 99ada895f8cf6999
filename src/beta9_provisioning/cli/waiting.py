"""`env wait`: until an environment has a status, it cannot get it any more, or time is up."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

import typer

from beta9_provisioning.cli.output import Failure
from beta9_provisioning.client import Client
from beta9_provisioning.client.errors import ClientError, is_lasting
from beta9_provisioning.lifecycle import FINAL, EnvironmentStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from beta9_provisioning.schemas.environment import Environment

_DURATION = re.compile(r"(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+)s?)?", re.ASCII)
_LONGEST = 365 * 86400
_EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""How long a service may be away."""
T = TypeVar("T")


def seconds(text: str) -> float:
    """Return how long `30m`, `90s`, `1h30m` or `90` is.

    Raises:
        typer.BadParameter: it is no duration.
    """
    found = _DURATION.fullmatch(text)
    parts = {unit: int(number) for unit, number in found.groupdict().items() if number} if found else {}
    total = sum(number * {"h": 3600, "m": 60, "s": 1}[unit] for unit, number in parts.items())
    if not parts or total > _LONGEST:
        raise typer.BadParameter(f"{text!r} is no duration; write 30m, 90s or 1h30m.")
    return float(total)


def patiently(
    ask: Callable[[], T],
    patience: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Ask a service that may be away, again and again for so many seconds, and return its answer.

    Raises:
        ClientError: it refuses, or has been away for too long.
    """
    began = clock()
    while True:
        try:
            return ask()
        except ClientError as error:
            if is_lasting(error) or clock() - began > patience:
                raise
            sleep(_EVERY_SECONDS)


def wait_for(
    client: Client,
    environment_id: str,
    goal: EnvironmentStatus,
    timeout: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Environment:
    """Return the environment when it has the status.

    A service that is away, as while it is updated, is asked again for a minute.

    Raises:
        Failure: nothing is going on that could lead there, or time is up.
        ClientError: the service refuses, or has been away for too long.
    """
    began = answered = clock()
    known: Environment | None = None
    while True:
        try:
            known = client.get(environment_id)
            answered = clock()
        except ClientError as error:
            if known is None or is_lasting(error) or clock() - answered > PATIENCE_SECONDS:
                raise
        if known.status is goal:
            return known
        name = f"{known.name} ({environment_id})"
        if known.operation.status in FINAL:
            why = f" {known.error.message}" if known.error else ""
            raise Failure(
                f"{name} is {known.status} and nothing is going on, so it does not become {goal}.{why}"
            )
        left = timeout - (clock() - began)
        if left <= 0:
            raise Failure(f"{name} is {known.status}, and not {goal} after {timeout:.0f} s. It goes on.")
        sleep(min(_EVERY_SECONDS, left))
