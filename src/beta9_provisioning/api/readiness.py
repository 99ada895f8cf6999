"""Whether the service can work: database, schema and queue."""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit.database import DatabaseUnavailable
from beta9_provisioning.kit.database import check as check_database
from beta9_provisioning.kit.queue import Queue, QueueUnavailable
from beta9_provisioning.operations.records import schema


class Check(BaseModel):
    """One thing that the service needs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ok: bool
    detail: str = ""
    """Why it is not ok, and what to do."""
    code: str = ""
    """The same for machines, where there is a code: `schema_missing`, `schema_older`, `schema_newer`."""


class Readiness(BaseModel):
    """Whether the service can work."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ready", "unavailable"]
    checks: dict[str, Check]
    """`database`, `schema` and `queue`."""


def check(engine: Engine, queue: Queue) -> Readiness:
    """Check everything, also when the first check fails."""
    database = _database(engine)
    fits = _schema(engine) if database.ok else Check(ok=False, detail="Unknown: there is no database.")
    checks = {"database": database, "schema": fits, "queue": _queue(queue)}
    ok = all(check.ok for check in checks.values())
    return Readiness(status="ready" if ok else "unavailable", checks=checks)


def _database(engine: Engine) -> Check:
    try:
        check_database(engine)
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        return Check(ok=False, detail=str(error))
    return Check(ok=True)


def _schema(engine: Engine) -> Check:
    try:
        with engine.connect() as connection:
            misfit = schema.misfit(connection)
    except SQLAlchemyError as error:
        return Check(ok=False, detail=str(error))
    return Check(ok=True) if misfit is None else Check(ok=False, detail=misfit.message, code=misfit.code)


def _queue(queue: Queue) -> Check:
    try:
        queue.backlog()
    except QueueUnavailable as error:
        return Check(ok=False, detail=str(error))
    return Check(ok=True)
