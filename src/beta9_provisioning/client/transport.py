"""Requests to one service and their answers: what is repeated, what is waited for, and how much is read."""

import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from beta9_provisioning.client.bearer import Bearer, Credential, check_way
from beta9_provisioning.client.errors import (
    AnswerLost,
    CertificatesMissing,
    CertificateUntrusted,
    Unreachable,
    refusal_of,
    retry_after,
    unreachable,
)
from beta9_provisioning.kit.certificates import CertificatesUnusable, named
from beta9_provisioning.kit.texts import ANSWER_BYTES

_PAGE = 100
_LARGEST_PAGE = 1000
_SHORTEST_PAUSE = 1.0
_LINE_BYTES = 1024 * 1024
# What a proxy answers when it has not heard the service's own answer.
_LOST = frozenset({502, 504})
_CODED = ("content-encoding", "content-length", "transfer-encoding")

_Model = TypeVar("_Model", bound=BaseModel)


class Transport:
    """One service over HTTP.

    Attributes:
        base_url: its address.
        http: the connections, for whoever keeps one open.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        attempts: int,
        patience: float,
        credential: Credential | None,
        organization: str | None,
        plain_http: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Name the service; see `Client`."""
        self.base_url = base_url.rstrip("/")
        self._attempts = attempts
        self._patience = patience
        self._sleep = sleep
        if credential is not None:
            check_way(self.base_url, plain_http=plain_http)
        self.http = http_client(
            self.base_url,
            timeout=timeout,
            auth=None if credential is None else Bearer(credential),
            headers={} if organization is None else {"Beta9-Organization": organization},
        )

    def send(
        self, method: str, path: str, *, expect_success: bool = True, lost: str = "", **arguments: Any
    ) -> httpx.Response:
        """Return the answer to a request, which is sent again when its connection breaks.

        A service that has had too many requests is waited for, as long as it says and patience lasts, if the
        request is a read or carries an idempotency key.

        Args:
            method: of HTTP.
            path: below the address.
            expect_success: raise `ApiProblem` for every other answer.
            lost: what to tell if the connection breaks; given, the request is never sent a second time.
            arguments: of httpx.
        """
        waits = method == "GET" or "Idempotency-Key" in arguments.get("headers", {})
        left = self._patience if waits else 0.0
        while True:
            response = self._try(method, path, lost, **arguments)
            pause = retry_after(response)
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS or pause is None or pause > left:
                break
            pause = max(pause, _SHORTEST_PAUSE)
            left -= pause
            self._sleep(pause)
        if lost and response.status_code in _LOST:
            raise AnswerLost(self.base_url, f"{response.status_code} {response.reason_phrase}", lost)
        if expect_success and not response.is_success:
            raise refusal_of(response)
        return response

    def parse(self, model: type[_Model], response: httpx.Response) -> _Model:
        """Return what an answer says."""
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            # Not the error itself: it quotes what it was given, and that may be a secret.
            first = error.errors(include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "body"
            raise Unreachable(
                self.base_url, f"the answer is not this API's: {where}: {first['msg']}"
            ) from None

    def ask(self, model: type[_Model], method: str, path: str, **arguments: Any) -> _Model:
        """Return what the service answers; arguments as those of `send`."""
        return self.parse(model, self.send(method, path, **arguments))

    def pages(
        self, page: type[_Model], path: str, params: dict[str, Any], limit: int | None
    ) -> Iterator[_Model]:
        """Yield the pages of a list until it ends, or holds as many as are wanted."""
        params = {name: value for name, value in params.items() if value is not None}
        left = limit
        while left is None or left > 0:
            params["limit"] = _PAGE if left is None else min(left, _LARGEST_PAGE)
            found: Any = self.ask(page, "GET", path, params=params)
            yield found
            if found.next_cursor is None:
                return
            params["cursor"] = found.next_cursor
            left = None if left is None else left - len(found.items)

    @contextmanager
    def lines(self, path: str, params: dict[str, Any], accept: str) -> Iterator[Iterator[str]]:
        """Give an answer line by line as it comes; it may be of any length, a line may not."""
        params = {name: value for name, value in params.items() if value is not None}
        try:
            with self.http.stream("GET", path, params=params, headers={"Accept": accept}) as response:
                if not response.is_success:
                    raise refusal_of(read_whole(self.base_url, response))
                yield _lines(self.base_url, response)
        except httpx.TransportError as error:
            raise unreachable(self.base_url, error) from error

    def _try(self, method: str, path: str, lost: str, **arguments: Any) -> httpx.Response:
        failure: httpx.HTTPError | None = None
        for _ in range(1 if lost else self._attempts):
            try:
                with self.http.stream(method, path, **arguments) as response:
                    return read_whole(self.base_url, response)
            except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:  # trying again would not help
                raise unreachable(self.base_url, error) from error
            except (httpx.TransportError, httpx.DecodingError) as error:
                failure = error
        assert failure is not None
        told = unreachable(self.base_url, failure)
        if lost and not isinstance(failure, httpx.ConnectTimeout | httpx.PoolTimeout):
            if isinstance(told, CertificateUntrusted):
                raise told from failure
            raise AnswerLost(self.base_url, str(failure) or type(failure).__name__, lost) from failure
        raise told from failure


def http_client(
    base_url: str,
    *,
    timeout: float,
    auth: httpx.Auth | None = None,
    headers: dict[str, str] | None = None,
    proxied: bool = False,
) -> httpx.Client:
    """Return connections to one address, trusted as the variables say. No redirect is ever followed.

    Args:
        base_url: the address.
        timeout: seconds to wait for one answer.
        auth: what shows who is asking.
        headers: of every request.
        proxied: heed the proxies of the environment.

    Raises:
        CertificatesMissing: the file of authorities to trust, which a variable names, cannot be used.
        Unreachable: this is no URL.
    """
    try:
        return httpx.Client(
            base_url=base_url,
            verify=_trust(base_url),
            timeout=timeout,
            auth=auth,
            headers=headers,
            # Ours is the header alone: neither a redirect nor a name in the address decides who is asking.
            follow_redirects=False,
            trust_env=proxied,
        )
    except httpx.InvalidURL as error:
        raise Unreachable(base_url, f"this is no URL: {error}") from error


def _trust(base_url: str) -> ssl.SSLContext | bool:
    authorities = named(os.environ) if base_url.lower().startswith("https:") else None
    try:
        return True if authorities is None else authorities.context()
    except CertificatesUnusable as error:
        raise CertificatesMissing(str(error)) from error


def read_whole(base_url: str, response: httpx.Response) -> httpx.Response:
    """Return an answer with its content, decoded; it may not be longer than any of this API's."""
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > ANSWER_BYTES:
            raise Unreachable(base_url, f"the answer is longer than {ANSWER_BYTES >> 20} MiB")
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _CODED]
    return httpx.Response(
        response.status_code,
        headers=headers,
        content=bytes(content),
        request=response.request,
        extensions=response.extensions,
    )


def _lines(base_url: str, response: httpx.Response) -> Iterator[str]:
    rest = b""
    for chunk in response.iter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
        if len(rest) > _LINE_BYTES:
            raise Unreachable(base_url, f"a line of the answer is longer than {_LINE_BYTES >> 20} MiB")
    if rest:
        yield rest.decode(errors="replace")
