"""Lines of log as collectors get them: with what is bound to the thread or request that writes them."""

import json
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

Line = MutableMapping[str, Any]


@contextmanager
def captured() -> Iterator[list[Line]]:
    """Give what this process logs meanwhile, in place of logging it."""
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        yield lines


def written(log: Path) -> list[Line]:
    """Read what a process has logged as JSON."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


def named(lines: Sequence[Line], event: str) -> list[Line]:
    """Return the lines of one event."""
    return [line for line in lines if line["event"] == event]
