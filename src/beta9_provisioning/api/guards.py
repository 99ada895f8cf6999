"""What every route asks of a request before it looks at it: dependencies of FastAPI.

They wait for nothing and are asynchronous all the same: FastAPI has plain functions run by threads, and each
such detour costs more than what they do.
"""

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

from beta9_provisioning.api import hosts, problems
from beta9_provisioning.api.authorization import Requires

# Headers and parameters of which the last would be taken silently; each means one thing.
_SINGLE_HEADERS = ("Idempotency-Key", "Last-Event-ID", "Beta9-Organization")
_REPEATABLE = frozenset({"status"})


async def no_parameters(request: Request) -> None:
    """Refuse query parameters where there are none: an ignored `?force=true` would mislead."""
    if request.query_params:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name)} for name in request.query_params]
        )


async def given_once(request: Request) -> None:
    """Refuse a header or parameter that comes twice where one is meant: nobody knows which one is."""
    headers = {("header", name): len(request.headers.getlist(name)) for name in _SINGLE_HEADERS}
    parameters = {
        ("query", name): len(request.query_params.getlist(name))
        for name in request.query_params
        if name not in _REPEATABLE
    }
    twice = [place for place, times in (headers | parameters).items() if times > 1]
    if twice:
        raise RequestValidationError(
            [
                {"type": "given_twice", "loc": place, "msg": "comes more than once: give it once"}
                for place in twice
            ]
        )


async def not_cross_site(request: Request) -> None:
    """Refuse what another site's page sends through a visitor's browser.

    Bodies of every Content-Type are taken, so the browser does not ask us first. It tells whether the sender
    is another site in `Sec-Fetch-Site` (W3C Fetch Metadata), or, to plain HTTP, names the sender in `Origin`;
    pages can set neither, and what is no browser sends neither.
    """
    sites = request.headers.getlist("sec-fetch-site")
    if any(site not in ("none", "same-origin") for site in sites):
        raise problems.CrossSite
    # A proxy may have changed Host, so what the browser says itself goes first.
    origins = [] if sites else request.headers.getlist("origin")
    if not all(hosts.is_own_origin(request, origin) for origin in origins):
        raise problems.CrossSite


KNOWN = [Depends(Requires(None)), Depends(given_once)]
"""Of routers whose callers are known, in this order: strangers are told nothing else."""
PLAIN = [Depends(no_parameters)]
"""Dependencies of a route that reads one thing."""
CHANGES_WITH_PARAMETERS = [Depends(not_cross_site)]
"""Dependencies of a route that changes something and takes parameters."""
CHANGES = [Depends(no_parameters), *CHANGES_WITH_PARAMETERS]
"""Dependencies of a route that changes something."""
