"""`terraform.log`: the events of commands, without secrets, for whoever looks into the working directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from beta9_provisioning.engine.terraform.events import TerraformEvent

log = structlog.get_logger(__name__)


class EventLog:
    """Appends events to a file until the disk takes no more. That fails no command: the journal has them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_full = False

    def write(self, event: TerraformEvent) -> None:
        """Append an event as a line."""
        if self._is_full:
            return
        line = f"{json.dumps(event.data) if event.data else event.message}\n"
        try:
            os.write(self._descriptor, line.encode(errors="replace"))
        except OSError as error:
            self._is_full = True
            log.warning("terraform_log_ends", error=error.strerror)


@contextmanager
def append_to(path: Path) -> Iterator[EventLog]:
    """Open the log at `path` to append to it; it is readable for its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield EventLog(descriptor)
    finally:
        os.close(descriptor)
