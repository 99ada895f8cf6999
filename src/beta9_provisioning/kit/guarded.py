"""The one client for addresses that users give: it reaches the public Internet, and nothing inside.

- Only https, and http to networks that are allowed by setting.
- It resolves the name itself, and connects to the address that it has judged: a name that leads elsewhere a
  moment later (DNS rebinding) changes nothing. The certificate and Host are the name's.
- One address that is not public refuses the whole name, were there others: an honest name has none, and who
  mixes them wants us to take the wrong one.
- No redirect is followed: who gives an address can give the final one. No proxy is used, no cookie kept.
- Size and time of an answer are bounded in all, so that neither a flood nor a trickle of bytes goes on.
  Content is asked for, and taken, without compression, so that little cannot become much.
- Each request has a connection of its own: nothing is shared between those who gave the addresses.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import httpcore
import httpx

from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.networks import Network, is_in, why_not
from beta9_provisioning.kit.texts import is_plain_line

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a name; raises OSError."""

_MAX_URL = 2048
# Of one address of several, so that a dead one leaves time for the next.
_CONNECT_SECONDS = 4.0
_ALLOW = "If it is meant, have the operator add its network to OUTGOING_ALLOWED_NETWORKS."


class OutgoingError(Exception):
    """A request to an address that a user gave has failed; the message says what, why and what to do."""


class TargetRefused(OutgoingError):
    """We do not send requests there."""


class TargetUnreachable(OutgoingError):
    """Nobody answered, or not in time."""


class AnswerRefused(OutgoingError):
    """What came back is not taken."""


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status says; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Bounds:
    """Of one request: seconds from beginning to end, and bytes of the answer's content."""

    seconds: float = 10.0
    size: int = 256 << 10


async def resolve(name: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, as the system resolves it; it waits in a thread."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class GuardedClient:
    """Sends requests to addresses that users give."""

    def __init__(
        self,
        allowed: Iterable[Network] = (),
        *,
        bounds: Bounds | None = None,
        resolver: Resolver = resolve,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            allowed: networks that may be reached although they are not public; metadata services never.
            bounds: of each request.
            resolver: how names become addresses.
            context: whom to trust; else whom the system's variables name, or the public authorities.

        Raises:
            CertificatesUnusable: a variable names a file that holds no certificate.
        """
        self._allowed = tuple(allowed)
        self._bounds = bounds or Bounds()
        self._resolver = resolver
        self._context = context or _trusted()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Answer:
        """Send a request and return the whole answer.

        Raises:
            TargetRefused: the address is none that we send requests to.
            TargetUnreachable: nobody answered, or not in time.
            AnswerRefused: the answer is a redirect, too large, compressed, or no HTTP.
        """
        target = _parse(url)
        where = target.host
        try:
            async with asyncio.timeout(self._bounds.seconds):
                return await self._exchange(method, target, headers or {}, content)
        except TimeoutError as error:
            raise TargetUnreachable(
                f"{where} has not answered completely within {self._bounds.seconds:g} s. "
                "Check the address, and try again later."
            ) from error
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise TargetUnreachable(_no_connection(where, error)) from error
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise AnswerRefused(
                f"{where} does not answer as HTTP asks for ({str(error)[:200]}). Check scheme and port of "
                "the address."
            ) from error

    async def _exchange(
        self, method: str, target: httpx.URL, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        backend = _Judging(self._resolver, self._allowed, is_plain=target.scheme == "http")
        sent: dict[str | bytes, str | bytes] = {
            "Accept-Encoding": "identity",
            "User-Agent": "beta9-provisioning",
        }
        sent.update(headers)
        times = {"timeout": {"connect": _CONNECT_SECONDS}}
        url = httpcore.URL(
            scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
        )
        async with (
            httpcore.AsyncConnectionPool(self._context, max_connections=1, network_backend=backend) as pool,
            pool.stream(method, url, headers=sent, content=content, extensions=times) as response,
        ):
            received = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            _check_head(target.host, response.status, received)
            return Answer(response.status, received, await self._read(target.host, response))

    async def _read(self, where: str, response: httpcore.Response) -> bytes:
        content = bytearray()
        async for part in response.aiter_stream():
            content += part
            if len(content) > self._bounds.size:
                raise AnswerRefused(
                    f"{where} answers with more than {self._bounds.size} bytes, which is too much here. "
                    "Check the address."
                )
        return bytes(content)


class _Judging(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were judged, and to nothing by name."""

    def __init__(self, resolver: Resolver, allowed: tuple[Network, ...], *, is_plain: bool) -> None:
        self._resolver = resolver
        self._allowed = allowed
        self._is_plain = is_plain
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of the name that takes it, if all of them may be reached."""
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in await self._judged(host, port):
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _judged(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise TargetUnreachable(
                f"The name {host} cannot be resolved. Check that it is written correctly."
            ) from error
        for address in addresses:
            # What it resolves to is not told: it would show the inside of a network to whoever asks.
            if (kind := why_not(address, self._allowed)) is not None:
                raise TargetRefused(
                    f"{host} leads to an address that is not public ({kind}), and nothing is sent there. "
                    f"{_ALLOW}"
                )
            if self._is_plain and not is_in(address, self._allowed):
                raise TargetRefused(
                    f"{host} is to be asked by http, which anybody on the way can read and change. Use "
                    "https: only networks in OUTGOING_ALLOWED_NETWORKS are asked by http."
                )
        return addresses


def _parse(url: str) -> httpx.URL:
    """Return the parts of a URL, by the parser whose parts are connected to.

    Raises:
        TargetRefused: it is none that is asked.
    """
    form = "Write https://host/path, without user, password, spaces and fragment."
    try:
        parsed = httpx.URL(url) if len(url) <= _MAX_URL and is_plain_line(url) else None
    except (httpx.InvalidURL, ValueError):
        parsed = None
    if parsed is None or not parsed.host or not 0 < (parsed.port or 443) < 65536 or set(url) & set(" \\"):
        raise TargetRefused(f"The address cannot be read. {form}")
    if parsed.scheme not in ("http", "https"):
        raise TargetRefused(f"The address does not begin with https://. {form}")
    if parsed.userinfo or parsed.fragment or "@" in url.partition("://")[2].partition("/")[0]:
        raise TargetRefused(f"The address holds more than host and path. {form}")
    return parsed


def _check_head(where: str, status: int, headers: Mapping[str, str]) -> None:
    if 300 <= status < 400:
        raise AnswerRefused(
            f"{where} redirects elsewhere (status {status}), which is not followed. Give the final address."
        )
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise AnswerRefused(
            f"{where} answers with compressed content, which was not asked for. Turn compression off there."
        )


def _no_connection(where: str, error: Exception) -> str:
    if certificates.is_untrusted(error):
        return f"The certificate of {where} is not trusted. {certificates.REMEDY}"
    reason = str(error)[:200] or "it gave no reason"
    return (
        f"{where} cannot be connected to, or has ended the connection ({reason}). "
        "Check the address, and that it can be reached from here."
    )


def _trusted() -> ssl.SSLContext:
    authorities = certificates.named(os.environ)
    return httpx.create_ssl_context(trust_env=False) if authorities is None else authorities.context()
