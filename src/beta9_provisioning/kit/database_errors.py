"""What an error of the database means: one policy for all who talk to it.

Judged by SQLSTATE (PostgreSQL manual, appendix A) and by what driver and pool say of the connection.
"""

from enum import StrEnum

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

READ_ONLY = "25006"
"""SQLSTATE of a write on a server, or in a session, that only reads."""

# Classes: connection exception, insufficient resources, system error (of disk or memory, not of ours).
_LOST_CLASSES = ("08", "53", "58")
# Shutdown, crash of another session, starting up, database dropped, idle session; the server ended an idle
# or too long transaction; a statement that may or may not have been completed; and a server that only reads.
_LOST = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04", "40003", READ_ONLY})
# Lock not available, serialization, deadlock, cancelled by a timeout of ours.
_BUSY = frozenset({"55P03", "40001", "40P01", "57014"})


class Trouble(StrEnum):
    """What to do about an error of the database."""

    LOST = "lost"
    """The connection is lost or useless: throw it away and try again later; the change may have been made."""
    BUSY = "busy"
    """Somebody else was in the way, and nothing was changed: try again soon."""
    FAULT = "fault"
    """The data or the program is wrong: trying again changes nothing."""


def trouble(error: BaseException) -> Trouble:
    """Judge an error."""
    if isinstance(error, PoolTimeout):
        return Trouble.BUSY
    if not isinstance(error, DBAPIError):
        return Trouble.FAULT
    state = sqlstate(error)
    if state in _BUSY:
        return Trouble.BUSY
    if error.connection_invalidated or state in _LOST or (state or "").startswith(_LOST_CLASSES):
        return Trouble.LOST
    if state is None and isinstance(error, OperationalError | InterfaceError):
        return Trouble.LOST
    return Trouble.FAULT


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE that the server gave the error, if it did."""
    found = getattr(getattr(error, "orig", None), "sqlstate", None)
    return found if isinstance(found, str) else None


def describe(error: BaseException) -> str:
    """Return the error for a log: SQLSTATE and first line, without statement, parameters and rows."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    state = sqlstate(error)
    return f"{state or type(cause).__name__}: {lines[0] if lines else type(cause).__name__}"
