"""Connections that do not last longer than their use: uvicorn's protocol with limits of time and number.

uvicorn ends only a connection that is silent after an answer. What never sends a request, sends it in drops,
or does not read its answer would stay for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from beta9_provisioning.api import headers, problems
from beta9_provisioning.api.bounds import Limits

log = structlog.get_logger(__name__)

MAX_HEAD = 16 * 1024
"""Bytes of request line and headers."""
_PIECE = 4096
# How often a process that is full says so.
_TELL_SECONDS = 60.0


def protocol(limits: Limits) -> Callable[..., Connection]:
    """Return what makes the connections of one server."""
    return partial(Connection, _Room(limits))


class _Room:
    """Those connections of a server that wait for a request, the oldest first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.waiting: dict[Connection, None] = {}
        self._told = float("-inf")

    def make(self, now: float) -> bool:
        """End the connection that has waited the longest; return whether there was one."""
        if now - self._told > _TELL_SECONDS:
            self._told = now
            log.warning("connections_full", limit=self.limits.connections, waiting=len(self.waiting))
        oldest = next(iter(self.waiting), None)
        if oldest is None:
            return False
        del self.waiting[oldest]
        oldest.transport.abort()
        return True


class Connection(H11Protocol):
    """A connection. It waits for a request, or works on one; only waiting ones make room for others."""

    def __init__(self, room: _Room, **given: Any) -> None:
        super().__init__(**given)
        self._room = room
        self._limits = room.limits
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin to wait for the first request, unless there is no room."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and not self._room.make(self.loop.time()):
            transport.abort()
            return
        self._room.waiting[self] = None
        self._set_timer(self._limits.head_seconds, self._late)

    def data_received(self, data: bytes) -> None:
        """Take bytes: of headers, which have an end, or of a body, whose time the application watches."""
        while data and not self.transport.is_closing():
            # What is complete within one piece is not held against the bound of headers.
            size = len(data) if self._works() else _PIECE
            super().data_received(data[:size])
            data = data[size:]
        if self.transport.is_closing():
            return
        if self._works():
            if self in self._room.waiting:
                self._begin()
        elif self._timer is None:
            self._set_timer(self._limits.head_seconds, self._late)

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn ends the connection if nothing comes."""
        super().on_response_complete()
        if self._works():  # on a request that had come already
            return
        self._room.waiting[self] = None
        self._unset_timer()
        if self.transport.is_closing():
            self._expect_reading()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that is silent after an answer."""
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def pause_writing(self) -> None:
        """Wait until more of the answer was read."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Go on; called by a lost connection, too."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._unset_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._unset_timer()
        self._unset_keepalive_if_required()  # uvicorn does so only when the client ended it in order
        self._room.waiting.pop(self, None)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        detail = (
            f"{msg} Either this is no HTTP/1.1, or request line and headers have more than "
            f"{MAX_HEAD // 1024} KiB."
        )
        self._refuse(400, "malformed-request", detail)

    def _begin(self) -> None:
        del self._room.waiting[self]
        self._unset_timer()
        if self.flow.write_paused:  # by the answer before, which is not read yet
            self._expect_reading()

    def _works(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _late(self) -> None:
        """End a connection whose request did not come in time; say so if it had begun."""
        begun, _ = self.conn.trailing_data
        if begun and self.conn.our_state is h11.IDLE:
            seconds = f"{self._limits.head_seconds:g}"
            detail = f"The request's headers were not complete after {seconds} s. Send it again."
            self._refuse(408, "request-timeout", detail)
        else:
            self._close()

    def _refuse(self, status: int, slug: str, detail: str) -> None:
        """Answer below the application, if it has not begun to, and end the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = problems.document(status, slug, detail).model_dump_json(exclude_none=True).encode()
            names = [
                (b"content-type", problems.MEDIA_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *headers.EVERY,
            ]
            phrase = HTTPStatus(status).phrase.encode()
            answer = (
                h11.Response(status_code=status, headers=names, reason=phrase),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(part) or b"" for part in answer))
        if self._works():  # its application finds that the client has gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._expect_reading()

    def _expect_reading(self) -> None:
        """End the connection at once when the rest of the answer is not read, or too slowly."""
        self._set_timer(self._limits.answer_seconds, self._is_read, self.transport.get_write_buffer_size())

    def _is_read(self, unread: int) -> None:
        self._timer = None
        if unread - self.transport.get_write_buffer_size() < self._limits.rate * self._limits.answer_seconds:
            self.transport.abort()
        else:
            self._expect_reading()

    def _set_timer(self, seconds: float, what: Callable[..., None], *given: Any) -> None:
        self._unset_timer()
        self._timer = self.loop.call_later(seconds, what, *given)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
