"""Who is asking: from the `Authorization` header to a principal, or to a refusal."""

import re
from collections.abc import Callable
from dataclasses import replace

from anyio import to_thread
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from beta9_provisioning.access import credentials, keys
from beta9_provisioning.access.errors import NoMember, OrganizationUnclear, Unauthenticated
from beta9_provisioning.access.issuer_keys import IssuerUnavailable
from beta9_provisioning.access.oidc import OidcVerifier, TokenRefused
from beta9_provisioning.access.principal import EVERYBODY, Principal
from beta9_provisioning.api.rates import Rates
from beta9_provisioning.api.together import Together
from beta9_provisioning.kit.database import Sessions, read
from beta9_provisioning.kit.refused import Refused
from beta9_provisioning.schemas.callers import Permission

ORGANIZATION_HEADER = "Beta9-Organization"
"""Header that names the organization to act in, for those who may act in several."""
# RFC 6750: one space, and the letters of base64 and JWT; the scheme in any case (RFC 9110). What is longer is
# nobody's.
_BEARER = re.compile(r"(?i:bearer) ([A-Za-z0-9._~+/=-]{1,8192})")

_Lookup = tuple[Callable[[Session, str, str | None], Principal | None], str, str | None]
"""How somebody is found, by what was shown, in which organization."""


class Authenticator:
    """Knows callers by what they show."""

    def __init__(
        self, sessions: Sessions, rates: Rates, verifier: OidcVerifier | None, *, is_required: bool
    ) -> None:
        """Ask this database; or nobody at all, when authentication is not required.

        Args:
            sessions: of the database with the members and their keys.
            rates: that count requests, those that fail here and those of each caller.
            verifier: of tokens; None when there is no issuer.
            is_required: else everybody may do everything, and is nobody in particular to count.
        """
        self._sessions = sessions
        self._rates = rates
        self._verifier = verifier
        self._is_required = is_required
        self._lookups = Together(self._look_up)

    async def principal(self, request: Request) -> Principal:
        """Return who is asking.

        Raises:
            Unauthenticated: nobody knows who is asking.
            NoMember: the caller belongs to no such organization.
            OrganizationUnclear: the caller belongs to several, and named none.
            IssuerUnavailable: it shows a token, and the issuer's keys cannot be had.
            RateLimited: the caller has sent too many requests.
            LimitsUnknown: they cannot be counted, and are to be.
        """
        try:
            found = await self._known(request) if self._is_required else _everybody(request)
        except (Unauthenticated, NoMember, OrganizationUnclear):
            # Who shows nothing counts, too: each of these is a record of the audit log.
            await self._rates.note_failure(request)
            raise
        if self._is_required:
            await self._rates.count_caller(request, found.id)
        return found

    async def still_may(self, request: Request, principal: Principal, permission: Permission) -> bool:
        """Tell whether a caller, known before, is still the same and may do this: for answers that take long.

        It counts as no request of the caller. What cannot be found out now is no.
        """
        if not self._is_required:
            return True
        try:
            found = await self._known(request)
        except (Refused, IssuerUnavailable, SQLAlchemyError):
            return False
        return (found.id, found.sees) == (principal.id, principal.sees) and found.may(permission)

    async def _known(self, request: Request) -> Principal:
        text, organization = bearer(request), _organization(request)
        of_what = self._of_key if text.startswith(keys.PREFIX) else self._of_token
        found = await of_what(text, organization)
        if found is None:
            raise Unauthenticated
        return found

    async def _of_token(self, text: str, organization: str | None) -> Principal | None:
        if self._verifier is None:
            return None
        try:
            claims = await self._verifier.verify(text)
        except TokenRefused:
            return None
        found = await self._lookups.answer((credentials.of_subject, claims.subject, organization))
        return None if found is None else replace(found, expires_at=claims.expires_at)

    async def _of_key(self, text: str, organization: str | None) -> Principal | None:
        return await self._lookups.answer((credentials.of_key, text, organization))

    async def _look_up(self, lookup: _Lookup) -> Principal | None:
        of_what, shown, organization = lookup
        return await to_thread.run_sync(
            read, self._sessions, lambda session: of_what(session, shown, organization)
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


def _everybody(request: Request) -> Principal:
    if _organization(request) not in (None, EVERYBODY.organization):
        raise NoMember
    return EVERYBODY


def _organization(request: Request) -> str | None:
    return request.headers.get(ORGANIZATION_HEADER)
