"""A stream of server-sent events that survives its connections."""

import time
from collections.abc import Iterator

import httpx
from httpx_sse import EventSource, SSEError
from pydantic import ValidationError

from beta9_provisioning.client.errors import (
    TEMPORARY,
    Unreachable,
    is_lasting,
    refusal_of,
    unreachable,
)
from beta9_provisioning.client.transport import read_whole
from beta9_provisioning.schemas.environment import RESTARTED, Event

# The service sends a comment every 15 s; three missed ones mean a dead connection.
_SILENCE_SECONDS = 45.0
# This address has as many streams as it may have: one more try would be one too many again.
_TOO_MANY = ":too-many-streams"
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0


class Stream:
    """The events of one environment, resumed by `Last-Event-ID` after every break.

    Attributes:
        last_id: id of the last event that was yielded.
    """

    def __init__(self, http: httpx.Client, path: str, *, after: int, patience: float) -> None:
        """Name the stream; `patience` is how many seconds the service may be away."""
        self.last_id = after
        self._http = http
        self._path = path
        self._patience = patience
        self._pause = _FIRST_PAUSE

    def until_closed(self) -> Iterator[Event]:
        """Yield events until the service closes the stream in order.

        Raises:
            ApiProblem: it refuses, for example because the environment is unknown.
            Unreachable: it has been away longer than `patience`.
            CertificateUntrusted: its certificate was not accepted.
        """
        away_since: float | None = None
        while True:
            try:
                for event in self._connection():
                    away_since = None
                    self._pause = _FIRST_PAUSE
                    yield event
            except (httpx.TransportError, _TemporarilyRefused) as error:
                lost = unreachable(str(self._http.base_url).rstrip("/"), error)
                away_since = away_since or time.monotonic()
                if is_lasting(lost) or time.monotonic() - away_since > self._patience:
                    raise lost from error
                self._wait()
            else:
                self._wait()  # a stream that ends at once must not be asked for in a busy loop
                return

    def _connection(self) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_id:
            headers["Last-Event-ID"] = str(self.last_id)
        timeout = httpx.Timeout(self._http.timeout.connect, read=_SILENCE_SECONDS)
        with self._http.stream("GET", self._path, headers=headers, timeout=timeout) as response:
            if not response.is_success:
                refusal = refusal_of(read_whole(str(self._http.base_url), response))
                if response.status_code in TEMPORARY and not refusal.problem.type.endswith(_TOO_MANY):
                    raise _TemporarilyRefused(f"it answered {response.status_code}")
                raise refusal
            yield from self._events(response)

    def _events(self, response: httpx.Response) -> Iterator[Event]:
        try:
            for message in EventSource(response).iter_sse():
                if not message.data:
                    continue
                event = Event.model_validate_json(message.data)
                if event.id > self.last_id or event.type == RESTARTED:
                    self.last_id = event.id
                    yield event
        except (SSEError, ValidationError) as error:
            raise Unreachable(
                str(self._http.base_url), f"the answer is not an event stream of this API: {error}"
            ) from error

    def _wait(self) -> None:
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


class _TemporarilyRefused(Exception):
    """The service, or a proxy before it, asked for patience."""
