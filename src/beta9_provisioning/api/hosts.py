"""Under which names the API answers, and whether a browser's page is one of its own.

A page of another site can have its own name resolve to our address (DNS rebinding); the browser then takes us
for that site. What it cannot change is the name in `Host`. Starlette's own check knows no exempt paths.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from beta9_provisioning.api import problems
from beta9_provisioning.kit.listening import is_loopback

# Probes and scrapers reach these by the pod's address, and no page gains anything by them.
_EXEMPT = frozenset({"/health", "/health/ready", "/metrics"})
_PORTS = {"http": 80, "https": 443}


class AllowedHosts:
    """ASGI middleware: refuses requests for a name that is not ours."""

    def __init__(self, app: ASGIApp, allowed: Collection[str], api_host: str) -> None:
        """Name the hosts.

        Args:
            app: what comes next.
            allowed: names and patterns, as in `Settings.allowed_hosts`.
            api_host: where the API listens, which decides when nothing is named.
        """
        self._app = app
        self._allowed = frozenset(allowed)
        self._takes_all = "*" in self._allowed or not (allowed or is_loopback(api_host))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or self._takes_all or scope["path"] in _EXEMPT:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        name, _ = own_address(request)
        if name is None or not self._is_ours(name):
            await problems.foreign_host(request)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_ours(self, name: str) -> bool:
        # No other site's page has a loopback name, so these stay open for those at the machine itself.
        parents = (f"*.{name[place + 1 :]}" for place, letter in enumerate(name) if letter == ".")
        return is_loopback(name) or name in self._allowed or not self._allowed.isdisjoint(parents)


def own_address(request: Request) -> tuple[str | None, int | None]:
    """Return name and port of `Host`; no name when there is not exactly one that can be read."""
    given = request.headers.getlist("host")
    if len(given) != 1 or any(letter in given[0] for letter in "@/?#\\"):
        return None, None
    return _parse(f"//{given[0]}")


def is_own_origin(request: Request, origin: str) -> bool:
    """Return whether an `Origin` is where this request went: name and port.

    Not the scheme: TLS may end before us. An opaque origin (`null`) is nobody's.
    """
    scheme = origin.partition(":")[0].lower()
    usual = _PORTS.get(scheme)
    name, port = _parse(origin)
    own_name, own_port = own_address(request)
    return usual is not None and name is not None and (name, port or usual) == (own_name, own_port or usual)


def _parse(url: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url)
        return (parts.hostname.removesuffix(".") or None) if parts.hostname else None, parts.port
    except ValueError:
        return None, None
