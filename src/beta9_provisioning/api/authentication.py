"""Who is asking: from the `Authorization` header to a principal, or to a refusal."""

import re

from anyio import to_thread
from fastapi import Request

from beta9_provisioning.access import credentials, keys
from beta9_provisioning.access.errors import Unauthenticated
from beta9_provisioning.access.principal import EVERYBODY, Principal
from beta9_provisioning.kit.database import Sessions, read

ORGANIZATION_HEADER = "Beta9-Organization"
"""Header that names the organization to act in, for those who may act in several."""
# RFC 6750: one space, and the letters of base64 and JWT. What is longer is nobody's.
_BEARER = re.compile(r"[Bb]earer ([A-Za-z0-9._~+/=-]{1,8192})")


class Authenticator:
    """Knows callers by what they show."""

    def __init__(self, sessions: Sessions, *, is_required: bool) -> None:
        """Ask this database; or nobody at all, when authentication is not required."""
        self._sessions = sessions
        self._is_required = is_required

    async def principal(self, request: Request) -> Principal:
        """Return who is asking.

        Raises:
            Unauthenticated: nobody knows who is asking.
            NoMember: the caller belongs to no such organization.
            OrganizationUnclear: the caller belongs to several, and named none.
        """
        if not self._is_required:
            return EVERYBODY
        text = bearer(request)
        found = await self._of_key(text, _organization(request)) if text.startswith(keys.PREFIX) else None
        if found is None:
            raise Unauthenticated
        return found

    async def _of_key(self, text: str, organization: str | None) -> Principal | None:
        return await to_thread.run_sync(
            read, self._sessions, lambda session: credentials.of_key(session, text, organization)
        )


async def authenticate(request: Request) -> Principal:
    """Return who is asking; the request remembers it."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is None:
        authenticator = request.app.state.services.authenticator
        assert isinstance(authenticator, Authenticator)
        known = request.state.principal = await authenticator.principal(request)
    return known


def bearer(request: Request) -> str:
    """Return what the caller shows.

    Raises:
        Unauthenticated: it is nothing, or not exactly one bearer token.
    """
    found = shown(request)
    if found is None:
        raise Unauthenticated
    return found


def shown(request: Request) -> str | None:
    """Return what the caller shows, valid or not; None when it is not exactly one bearer token."""
    given = request.headers.getlist("authorization")
    found = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    return found[1] if found else None


def _organization(request: Request) -> str | None:
    return request.headers.get(ORGANIZATION_HEADER)
