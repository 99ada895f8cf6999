"""Requests to STS signed with Signature Version 4, by the standard library alone.

Source: "Create a signed AWS API request" in the IAM user guide. Tests compare the results with botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "sts"
_PORTS = {"http": 80, "https": 443}
# What a header may carry and AWS gives out: one word of visible ASCII.
_WORD = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Credentials:
    """An access key; `session_token` belongs to temporary ones. Its repr shows no secret."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


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
    """Return the headers of a POST of `body` to STS at `url`, signed at this time (UTC)."""
    headers = {"Content-Type": content_type, "X-Amz-Date": _timestamp(at)}
    if credentials.session_token:
        headers["X-Amz-Security-Token"] = credentials.session_token
    signed, scope = _signed(headers, url), _scope(region, at)
    signature = _signature(credentials, _canonical("POST", url, signed, body), scope, at)
    headers["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(signed)}, Signature={signature}"
    )
    return headers


def presigned_url(
    credentials: Credentials, *, url: str, region: str, headers: Mapping[str, str], seconds: int, at: datetime
) -> str:
    """Return `url`, which must have a query, with the signature of a GET with `headers` in it.

    It is good for `seconds` from `at` (UTC) on.
    """
    signed, scope = _signed(headers, url), _scope(region, at)
    parameters = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": _timestamp(at),
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": ";".join(signed),
    }
    if credentials.session_token:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    url = f"{url}&{urlencode(parameters, quote_via=quote)}"
    signature = _signature(credentials, _canonical("GET", url, signed, b""), scope, at)
    return f"{url}&X-Amz-Signature={signature}"


def _signed(headers: Mapping[str, str], url: str) -> dict[str, str]:
    """Return the headers as they are signed, in order, with the Host that an HTTP client will send."""
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(f":{_PORTS.get(parts.scheme)}")
    return dict(sorted({"host": host, **{name.lower(): headers[name] for name in headers}}.items()))


def _canonical(method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the request as AWS spells it before it checks a signature."""
    parts = urlsplit(url)
    return "\n".join(
        (
            method,
            quote(parts.path, safe="/~"),
            "&".join(sorted(parts.query.split("&"), key=lambda pair: pair.partition("="))),
            *(f"{name}:{' '.join(value.split())}" for name, value in headers.items()),
            "",
            ";".join(headers),
            hashlib.sha256(body).hexdigest(),
        )
    )


def _signature(credentials: Credentials, canonical: str, scope: str, at: datetime) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for word in scope.split("/"):
        key = _hmac(key, word)
    return _hmac(key, f"{_ALGORITHM}\n{_timestamp(at)}\n{scope}\n{digest}").hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _scope(region: str, at: datetime) -> str:
    return f"{at:%Y%m%d}/{region}/{_SERVICE}/aws4_request"


def _timestamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%SZ}"
