"""What a client shows a service to say who is asking."""

import re
from collections.abc import Generator
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from beta9_provisioning.client.errors import CredentialUnfit
from beta9_provisioning.kit.listening import is_loopback

# RFC 6750's b64token. Nothing else may go into a header.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")


class Credential(Protocol):
    """A key, or tokens that are renewed."""

    def token(self) -> str:
        """Return what to send; raises `ClientError` when there is nothing that could count."""

    def renewed(self, refused: str) -> str | None:
        """Return another token instead of one that the service has refused; None when there is none."""


class FixedKey:
    """A key that stays what it is."""

    def __init__(self, key: str) -> None:
        """Take the key."""
        self._key = key

    def token(self) -> str:
        """Return the key."""
        return self._key

    def renewed(self, refused: str) -> None:
        """Return nothing: a refused key stays refused."""


class Bearer(httpx.Auth):
    """Sends a credential with every request, and once more when it was renewed after a refusal."""

    def __init__(self, credential: Credential) -> None:
        """Take the credential; it is asked for a token before every request."""
        self._credential = credential

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request. What was refused for its token was not carried out, so it may be sent again."""
        token = self._credential.token()
        request.headers["Authorization"] = f"Bearer {_fit(token)}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            other = self._credential.renewed(token)
            if other is not None:
                request.headers["Authorization"] = f"Bearer {_fit(other)}"
                yield request


def check_way(url: str, *, plain_http: bool) -> None:
    """Refuse to send a secret where everybody on the way could read it.

    Raises:
        CredentialUnfit: the address is plain HTTP to another machine, and that was not allowed.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() != "https" and not plain_http and not is_loopback(parts.hostname or ""):
        raise CredentialUnfit(
            f"{url} is not HTTPS, so everybody on the way could read your credential. Name it by https://, "
            "or accept that with --plain-http (BETA9_PLAIN_HTTP=1)."
        )


def _fit(token: str) -> str:
    if _TOKEN.fullmatch(token) is None:
        raise CredentialUnfit(
            "This is no key: it is empty, or has characters that no key has, such as white space or quotes. "
            "Copy it again as it was shown."
        )
    return token
