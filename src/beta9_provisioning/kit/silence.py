"""Connections that give up a server which has fallen silent in the middle of a statement.

The server ends its statements itself, but a server that stands still, a pooler that does, or a network that
drops packets ends nothing. Keepalives do not notice the first two: the kernel at the other end answers them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

Result = TypeVar("Result")


class ServerSilent(psycopg.OperationalError):
    """Nothing was heard of the server for too long; the connection is closed."""


class Patience:
    """How long a server may be silent, for all connections that share this, whatever they do."""

    def __init__(self) -> None:
        self.most = float("inf")
        """Seconds; what a connection allows itself may be less."""


class AttentiveConnection(psycopg.Connection[Any]):
    """A connection whose waits for the server end, by `ServerSilent`."""

    patience: Patience | None = None
    """Shared with others; None knows no bound."""
    silence = float("inf")
    """How many seconds the server may be silent on this connection."""

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Allow less silence meanwhile."""
        before, self.silence = self.silence, min(self.silence, seconds)
        try:
            yield
        finally:
            self.silence = before

    def wait(self, gen: PQGen[Result], *args: Any, **kwargs: Any) -> Result:
        """Wait for what psycopg does with the server.

        Raises:
            ServerSilent: the server said nothing for too long.
        """
        return super().wait(self._attend(gen), *args, **kwargs)

    def _attend(self, gen: PQGen[Result]) -> PQGen[Result]:
        """Stand between the generator and who waits for it, who comes by several times a second."""
        heard = monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = monotonic()
                elif (silent := monotonic() - heard) > self._bound():
                    self.close()
                    raise ServerSilent(f"the server has said nothing for {silent:.0f} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _bound(self) -> float:
        return min(self.silence, self.patience.most if self.patience else self.silence)
