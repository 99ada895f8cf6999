"""The pruner: deletes old details of the journal once an hour, when the settings say so."""

from datetime import timedelta

import structlog

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import repeat
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.operations.records.prune import prune

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 3600.0
_STOP_SECONDS = 5.0


class Pruner:
    """Runs in every worker; any number of them may do the same work at the same time."""

    def __init__(self, factory: Sessions, older_than: timedelta, *, every: float = _EVERY_SECONDS) -> None:
        self._factory = factory
        self._older_than = older_than
        self._every = every
        self._ended = runtime.event()
        self._thread = runtime.thread(self._run, name="pruner", daemon=True)

    def start(self) -> None:
        """Work in the background, unless nothing is to be deleted."""
        if self._older_than:
            self._thread.start()

    def stop(self) -> None:
        """End; what is being deleted at this moment is left to itself."""
        self._ended.set()
        if self._older_than:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        repeat("pruner", self._prune, every=self._every, ended=self._ended)

    def _prune(self) -> None:
        done = prune(self._factory, self._older_than)
        log.info("pruned", events=done.events, keys=done.keys)
