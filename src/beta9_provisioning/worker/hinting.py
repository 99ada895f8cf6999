"""Sends hints for what may be begun: as many messages as there are operations that a worker could take."""

import structlog

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.queue import JobQueue
from beta9_provisioning.operations.records.fairness import claimable

log = structlog.get_logger(__name__)


class Hinting:
    """Adds the messages that the queue lacks; any number of workers may do so at the same time."""

    def __init__(self, factory: Sessions, queue: JobQueue, actor: str, most_of_one: int) -> None:
        """Take what it works with; `most_of_one` as in `fairness.claimable`."""
        self._factory = factory
        self._queue = queue
        self._actor = actor
        self._most_of_one = most_of_one

    def send(self, *, older_than: float = 0.0) -> None:
        """Have a message wait for every operation that may be begun, and was requested so many seconds ago.

        A message too many finds nothing to do and is gone.

        Raises:
            SQLAlchemyError: when the database is away.
            QueueUnavailable: when Redis is away.
        """
        with transaction(self._factory) as session:
            operations = claimable(session, most_of_one=self._most_of_one, older_than=older_than)
        if not operations:
            return
        # A backlog is work that nobody has had time for, not hints that were lost.
        for operation_id in operations[self._queue.backlog() :]:
            self._queue.send(self._actor, operation_id)
            log.info("hint_sent_again", operation_id=operation_id)
