"""The keys of an OIDC issuer: fetched when they are needed, kept while they are good.

However many tokens come, whoever makes them, the issuer is asked by one request at a time and once in
`PAUSE_SECONDS` at most.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from beta9_provisioning.kit.guarded import GuardedClient, OutgoingError

log = structlog.get_logger(__name__)

FRESH_SECONDS = 600.0
"""Age at which keys are fetched again, so that one that the issuer took back is not taken for longer."""
USABLE_SECONDS = 3600.0
"""Age up to which they are taken while the issuer cannot be reached."""
PAUSE_SECONDS = 30.0
"""Between two looks for a key that is not known, or after a failure."""
FIRST_PAUSE_SECONDS = 5.0
"""The same while there are no keys at all, and nobody could log in meanwhile."""
_MOST_KEYS = 100
_RSA_BITS = range(2048, 8193)

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# Of each type of key; with all others, symmetric ones among them, no token is verified.
_ALGORITHMS = {
    "RSA": _RSA,
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}

KeySet = Mapping[tuple[str, str], jwt.PyJWK]
"""Keys by their name and the algorithm that they are for: a key is taken for no other."""


class IssuerUnavailable(Exception):
    """The issuer's keys cannot be had; the message says why and what to do."""


class UnknownKey(Exception):
    """The issuer has no such key for this algorithm."""


class IssuerKeys:
    """Keys of one issuer. All calls come from one event loop."""

    def __init__(self, issuer: str, client: GuardedClient, *, clock: Callable[[], float] = monotonic) -> None:
        """Fetch nothing yet."""
        self._issuer = issuer
        self._client = client
        self._clock = clock
        self._keys: KeySet = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fault: IssuerUnavailable | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, kid: str, algorithm: str) -> jwt.PyJWK:
        """Return a key.

        Raises:
            UnknownKey: the issuer has none of this name for this algorithm.
            IssuerUnavailable: it cannot be asked, and might have one.
        """
        found = self._known(kid, algorithm)
        if found is None or self._age() > FRESH_SECONDS:
            fetching = self._fetch_if_due()
            if found is None and fetching is not None:
                # Who asks may go away; others wait for the same keys.
                await asyncio.shield(fetching)
                found = self._known(kid, algorithm)
        if found is not None:
            return found
        if self._fault is not None:
            raise IssuerUnavailable(str(self._fault)) from self._fault
        raise UnknownKey

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    def _known(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        return self._keys.get((kid, algorithm)) if self._age() <= USABLE_SECONDS else None

    def _fetch_if_due(self) -> asyncio.Task[None] | None:
        """Begin to fetch the keys unless that was tried a moment ago; return what is under way."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        pause = PAUSE_SECONDS if self._age() <= USABLE_SECONDS else FIRST_PAUSE_SECONDS
        if self._tried is not None and self._clock() - self._tried < pause:
            return None
        self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._keys = await self._read()
            self._fetched = self._clock()
            self._fault = None
        except (OutgoingError, IssuerUnavailable) as error:
            self._fault = error if isinstance(error, IssuerUnavailable) else IssuerUnavailable(str(error))
            log.warning("oidc_issuer_unavailable", issuer=self._issuer, reason=str(error))
        finally:
            self._tried = self._clock()

    async def _read(self) -> KeySet:
        # "/" at the end belongs to the issuer's name, not to the path (OpenID Connect Discovery, 4.1).
        document = await self._json(f"{self._issuer.removesuffix('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise IssuerUnavailable(
                f"The discovery document of {self._issuer} is that of another issuer. Set OIDC_ISSUER to "
                "exactly what its member `issuer` says, which is what tokens say, too."
            )
        where = document.get("jwks_uri")
        if not isinstance(where, str):
            raise IssuerUnavailable(f"The discovery document of {self._issuer} names no jwks_uri. {_CHECK}")
        listed = (await self._json(where)).get("keys")
        keys = _usable(listed if isinstance(listed, list) else [])
        if not keys:
            raise IssuerUnavailable(
                f"The key set of {self._issuer} holds no key with a name (kid) and an algorithm that is "
                "taken. Have the issuer sign with RS, PS or ES 256, 384 or 512, or with EdDSA."
            )
        return keys

    async def _json(self, url: str) -> Mapping[str, Any]:
        answer = await self._client.request("GET", url, headers={"Accept": "application/json"})
        try:
            document = json.loads(answer.content) if answer.status == 200 else None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise IssuerUnavailable(
                f"The issuer {self._issuer} answers with status {answer.status} and no JSON object. {_CHECK}"
            )
        return document


_CHECK = "Check OIDC_ISSUER, and that the issuer works."


def _usable(listed: list[Any]) -> KeySet:
    keys: dict[tuple[str, str], jwt.PyJWK] = {}
    for jwk in listed[:_MOST_KEYS]:
        if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig":
            continue
        for algorithm in _ALGORITHMS.get(str(jwk.get("crv") or jwk.get("kty")), ()):
            if jwk.get("alg", algorithm) == algorithm and (key := _key(jwk, algorithm)) is not None:
                keys.setdefault((jwk["kid"], algorithm), key)
    return keys


def _key(jwk: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(jwk, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    # A short one can be broken; a very long one takes seconds to verify with.
    is_odd = isinstance(key.key, RSAPublicKey) and key.key.key_size not in _RSA_BITS
    return None if is_odd else key
