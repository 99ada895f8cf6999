"""Observers of a command: told what it does, never able to stop it by a fault of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec

import structlog

from beta9_provisioning.engine.errors import Stopped

P = ParamSpec("P")

log = structlog.get_logger(__name__)


class Tolerant(Generic[P]):
    """Calls an observer; what it raises is counted, and logged once per kind of exception.

    A Terraform that was interrupted in the middle of an apply because a sentence about it could not be
    written would be the greater fault. `Stopped` is none: it is raised again, as a request to stop.

    Attributes:
        faults: how often it raised.
    """

    def __init__(self, observer: Callable[P, object], name: str) -> None:
        """`name` is what the log calls the observer."""
        self.faults = 0
        self._observer = observer
        self._name = name
        self._logged: set[type[Exception]] = set()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call the observer.

        Raises:
            Stopped: the observer wants the command to stop.
        """
        try:
            self._observer(*args, **kwargs)
        except Stopped:
            raise
        except Exception as error:
            self.faults += 1
            if type(error) not in self._logged:
                self._logged.add(type(error))
                log.exception("observer_failed", observer=self._name)
