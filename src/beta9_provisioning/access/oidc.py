"""Bearer tokens of an OIDC issuer: who one is for, if it is good.

A token is a JWT that the issuer signed, for our audience, within its time. Where keys come from is never a
token's to say: `jku`, `x5u`, `jwk` and the like are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import jwt
import structlog

from beta9_provisioning.access.issuer_keys import IssuerKeys, UnknownKey
from beta9_provisioning.kit.guarded import GuardedClient
from beta9_provisioning.kit.texts import is_plain_line

log = structlog.get_logger(__name__)

MAX_TOKEN = 8192
"""Characters."""
MAX_MEMBER = 255
"""Characters of what names a member."""
LEEWAY_SECONDS = 30
"""By which the issuer's clock and ours may differ."""
_REQUIRED = ("iss", "aud", "exp", "iat", "sub")
# Tokens of other kinds, which the same issuer may have signed: of logouts, of proofs, of events.
_TYPES = ("jwt", "at+jwt", "application/at+jwt")


class TokenRefused(Exception):
    """The token is not valid. The reason is for the log alone, not for who sent it."""


@dataclass(frozen=True)
class Claims:
    """What a good token says."""

    subject: str
    """Whom it is for, as the member claim says."""
    expires_at: datetime


class OidcVerifier:
    """Verifies tokens of one issuer. All calls come from one event loop."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        client: GuardedClient,
        *,
        member_claim: str = "sub",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Fetch nothing yet.

        Args:
            issuer: exactly as its tokens name it.
            audience: that tokens must be for.
            client: that fetches its keys.
            member_claim: that names the member; `email` counts only if the issuer has verified it.
            clock: that the age of keys is measured by, in seconds. Tokens are judged by the time of day.
        """
        self._issuer = issuer
        self._audience = audience
        self._member_claim = member_claim
        self._keys = IssuerKeys(issuer, client, clock=clock)

    async def verify(self, token: str) -> Claims:
        """Return what a token says.

        Raises:
            TokenRefused: it is not valid.
            IssuerUnavailable: the issuer's keys cannot be had, so that nobody knows.
        """
        try:
            kid, algorithm = _name_of_key(token)
            key = await self._keys.get(kid, algorithm)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
            )
            return Claims(self._member(claims), _time(claims["exp"]))
        except UnknownKey:
            raise _refused("signed with a key that the issuer does not have") from None
        except TokenRefused as error:
            raise _refused(str(error)) from None
        except jwt.PyJWTError as error:
            raise _refused(f"{type(error).__name__}: {error}") from None

    def _member(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self._member_claim)
        if not isinstance(name, str) or not 0 < len(name) <= MAX_MEMBER or not is_plain_line(name):
            raise TokenRefused(f"the claim {self._member_claim} names nobody")
        if self._member_claim == "email" and claims.get("email_verified") is not True:
            raise TokenRefused("the issuer has not verified the e-mail address")
        return name


def _name_of_key(token: str) -> tuple[str, str]:
    """Return which key a token says it was signed with, and how; nothing of it is proven yet."""
    if len(token) > MAX_TOKEN or not token.isascii():
        raise TokenRefused("longer than a token may be, or not of its characters")
    header = jwt.get_unverified_header(token)
    kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
    # Nothing that is critical to others is understood here, unencoded payloads (b64) included.
    if "crit" in header or "b64" in header:
        raise TokenRefused("with a critical header")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefused("of another type")
    if not isinstance(kid, str) or not isinstance(algorithm, str):
        raise TokenRefused("without the name of a key and an algorithm")
    return kid, algorithm


def _time(seconds: float | str) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        raise TokenRefused("with an end that no calendar has") from None


def _refused(reason: str) -> TokenRefused:
    log.info("oidc_token_refused", reason=reason[:200])
    return TokenRefused(reason)
