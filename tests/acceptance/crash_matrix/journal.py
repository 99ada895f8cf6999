"""What the harness reads of the database past the product: the journal, attempts, who holds what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

NAME = "crash-matrix"
"""How the harness calls itself to PostgreSQL, so that it does not strike itself."""


@dataclass(frozen=True)
class Event:
    """An entry of the journal; `at` in Unix seconds."""

    environment_id: str
    id: int
    at: float
    operation_id: str | None
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """A worker's try at an operation; times in Unix seconds."""

    operation_id: str
    environment_id: str
    number: int
    worker: str
    started_at: float
    ended_at: float | None
    outcome: str | None


class Journal:
    """Follows the database as far as it is there; what is away is asked again at the next look."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self.events: list[Event] = []
        self._seen: dict[str, int] = {}

    def look(self) -> list[Event]:
        """Return the events that are new since the last look; none while there is no database."""
        rows = self.ask(
            "SELECT environment_id, id, extract(epoch FROM at)::float8 AS at, operation_id, type, data "
            "FROM events WHERE id > coalesce((%s::jsonb ->> environment_id)::bigint, 0) "
            "ORDER BY environment_id, id",
            Jsonb(self._seen),
        )
        found = [Event(*row) for row in rows]
        self._seen |= {one.environment_id: one.id for one in found}
        self.events += found
        return found

    def of(self, environment_id: str) -> list[Event]:
        """Return all events of an environment that were seen."""
        return [one for one in self.events if one.environment_id == environment_id]

    def attempts(self) -> list[Attempt]:
        """Return all attempts, in their order."""
        rows = self.ask(
            "SELECT operation_id, environment_id, attempts.number, worker, "
            "extract(epoch FROM attempts.started_at)::float8 AS began, "
            "extract(epoch FROM ended_at)::float8 AS ended, outcome "
            "FROM attempts JOIN operations ON operations.id = operation_id ORDER BY attempts.started_at"
        )
        return [Attempt(*row) for row in rows]

    def holder(self, environment_id: str) -> str | None:
        """Return the name of the worker whose attempt at an operation of the environment has not ended."""
        held = [
            one.worker
            for one in self.attempts()
            if one.environment_id == environment_id and one.ended_at is None
        ]
        return held[-1] if held else None

    def ask(self, question: str, *parameters: Any) -> Sequence[Any]:
        """Return rows; none while the database is away."""
        try:
            with self._cursor() as cursor:
                return cursor.execute(question, parameters).fetchall()
        except psycopg.OperationalError:
            self.close()
            return []

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=2,
                application_name=NAME,
                row_factory=namedtuple_row,
                options="-c statement_timeout=3000",
            )
        with self._connection.cursor() as cursor:
            yield cursor
