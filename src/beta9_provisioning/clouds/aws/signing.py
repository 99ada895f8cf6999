"""Credentials, and requests to STS signed with them (Signature Version 4, by the AWS Common Runtime).

The runtime (`awscrt`) is imported only when something is signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

_SERVICE = "sts"
# What a header may carry and AWS gives out: one word of visible ASCII.
_WORD = re.compile(r"[!-~]+")
# Signing is arithmetic; a bound all the same, since the runtime answers through a future.
_SECONDS = 10
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Credentials:
    """An access key; `session_token` belongs to temporary ones. Its repr shows no secret."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(secret for secret in (self.secret_key, self.session_token) if secret)


def credentials_of(access_key: object, secret_key: object, session_token: object) -> Credentials | None:
    """Return credentials of three values that came from outside, or None when they cannot be any.

    `session_token` may be None or empty. Anything but visible ASCII is refused: an HTTP library would quote
    it in its complaint.
    """
    values = [access_key, secret_key, *([session_token] if session_token else [])]
    if not all(isinstance(value, str) and _WORD.fullmatch(value) for value in values):
        return None
    return Credentials(*map(str, values))


def signed_headers(
    credentials: Credentials, *, url: str, region: str, content_type: str, body: bytes, at: datetime
) -> dict[str, str]:
    """Return the headers of a POST of `body` to STS at `url`, with the signature; `at` is the time."""
    from awscrt import auth  # noqa: PLC0415  12 MB, not needed to import this module

    request = _request("POST", url, {"Content-Type": content_type})
    _sign(
        request,
        credentials,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        region=region,
        date=at,
        signed_body_value=hashlib.sha256(body).hexdigest(),
    )
    return dict(request.headers)


def presigned_url(
    credentials: Credentials, *, url: str, region: str, headers: Mapping[str, str], seconds: int, at: datetime
) -> str:
    """Return `url` with a signature of a GET with `headers` in its query, good for `seconds` from `at` on."""
    from awscrt import auth  # noqa: PLC0415

    request = _request("GET", url, headers)
    _sign(
        request,
        credentials,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
        region=region,
        date=at,
        signed_body_value=auth.AwsSignedBodyValue.EMPTY_SHA256,
        expiration_in_seconds=seconds,
    )
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{request.path}"


def _request(method: str, url: str, headers: Mapping[str, str]) -> Any:
    from awscrt import http  # noqa: PLC0415

    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return http.HttpRequest(method, path, http.HttpHeaders([("Host", _host(url)), *headers.items()]))


def _sign(request: Any, credentials: Credentials, **settings: Any) -> None:
    from awscrt import auth  # noqa: PLC0415

    provider = auth.AwsCredentialsProvider.new_static(
        credentials.access_key, credentials.secret_key, credentials.session_token
    )
    config = auth.AwsSigningConfig(credentials_provider=provider, service=_SERVICE, **settings)
    auth.aws_sign_request(request, config).result(_SECONDS)


def _host(url: str) -> str:
    """Return the Host header that an HTTP client will send: without the scheme's own port."""
    parts = urlsplit(url)
    own_port = _PORTS.get(parts.scheme)
    return parts.netloc.removesuffix(f":{own_port}")
