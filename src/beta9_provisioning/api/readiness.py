"""Whether the service can work: database, schema and queue. Anybody may ask: reasons go to the log."""

import asyncio
from collections.abc import Mapping
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.api.questions import Question
from beta9_provisioning.kit.database import connect
from beta9_provisioning.kit.database_errors import READ_ONLY, Trouble, describe, sqlstate, trouble
from beta9_provisioning.kit.queue import Queue, QueueUnavailable
from beta9_provisioning.operations.records import schema

log = structlog.get_logger(__name__)

DEFAULT_SECONDS = 2.5
"""Longest wait for a part, so that the whole answer comes within 3 s."""
_STATEMENT_SECONDS = 5
_NO_DATABASE = (
    "The database does not work; the log says why. "
    "Check DATABASE_URL, and that PostgreSQL runs and takes writes."
)
_NO_QUEUE = (
    "The queue does not work; the log says why. Workers take operations from the database meanwhile. "
    "Check REDIS_URL, and that Redis runs and takes writes."
)


class Check(BaseModel):
    """One thing that the service needs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ok: bool
    detail: str = ""
    """What is not ok, and what to do."""
    code: str = ""
    """The same for machines, where there is a code: `schema_missing`, `schema_older`, `schema_newer`."""


class Report(BaseModel):
    """Whether the service can work."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ready", "unavailable"]
    checks: dict[str, Check] = Field(default_factory=dict)
    """`database`, `schema` and `queue`, for callers who are known; it is ready without the queue."""


Checks = Mapping[str, Check]
_NOTHING: Checks = {}


class Readiness:
    """Asks database and queue whether a write would work, over connections that requests do not use."""

    def __init__(self, database_url: str, redis_url: str, *, seconds: float = DEFAULT_SECONDS) -> None:
        """Connect to nothing yet. A part that has not answered after `seconds` is not ok."""
        self._engine = connect(database_url, pool_size=1, statement_seconds=_STATEMENT_SECONDS)
        self._queue = Queue(redis_url)
        self._seconds = seconds
        self._ask_database = Question("not_ready", "database", self._database, _NOTHING)
        self._ask_queue = Question("not_ready", "queue", self._is_writable, _NOTHING)

    async def report(self) -> Report:
        """Check everything at the same time."""
        database, queue = await asyncio.gather(
            self._ask_database.answer(self._seconds), self._ask_queue.answer(self._seconds)
        )
        checks = {
            "database": Check(ok=False, detail=_NO_DATABASE),
            "schema": Check(ok=False, detail="Unknown: there is no database."),
            "queue": Check(ok=False, detail=_NO_QUEUE),
            **database,
            **queue,
        }
        ok = checks["database"].ok and checks["schema"].ok
        return Report(status="ready" if ok else "unavailable", checks=checks)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
        self._queue.close()

    def _database(self) -> Checks:
        try:
            # The engine gives no connection that cannot write.
            with self._engine.connect() as connection:
                return {"database": Check(ok=True), "schema": _schema(connection)}
        except SQLAlchemyError as error:
            if trouble(error) is Trouble.FAULT:
                raise  # told with its stack: it is ours
            only_reads = sqlstate(error) == READ_ONLY
            log.warning("not_ready", check="database", only_reads=only_reads, error=describe(error))
            return {}

    def _is_writable(self) -> Checks:
        try:
            self._queue.check_writable()
        except QueueUnavailable as error:
            log.warning("not_ready", check="queue", error=str(error))
            return {}
        return {"queue": Check(ok=True)}


def _schema(connection: Connection) -> Check:
    misfit = schema.misfit(connection)
    return Check(ok=True) if misfit is None else Check(ok=False, detail=misfit.message, code=misfit.code)
