"""Checks AWS Signature Version 4 on incoming requests, in headers or in a presigned URL.

After "Signature Version 4 signing process" in the AWS IAM user guide; the tests hold it against
botocore's signer.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER = re.compile(
    rf"{_ALGORITHM} Credential=(?P<credential>[^,\s]+),\s*SignedHeaders=(?P<headers>[^,\s]+),\s*"
    r"Signature=(?P<signature>[0-9a-f]+)"
)
_SPACES = re.compile(r"\s+")
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Signature:
    """A signature with what it says about itself; ``at`` is a time, ``expires`` is in seconds."""

    access_key: str
    date: str
    region: str
    service: str
    at: str
    signed_headers: tuple[str, ...]
    value: str
    session_token: str
    presigned: bool = False
    expires: int = 0


@dataclass(frozen=True)
class Message:
    """A request to check: ``url`` with its path and query still encoded; header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


def read_signature(message: Message) -> Signature | None:
    """Return the signature a request carries, or None when it carries none that can be read."""
    query = dict(parse_qsl(urlsplit(message.url).query, keep_blank_values=True))
    if query.get("X-Amz-Algorithm") == _ALGORITHM:
        scope = query.get("X-Amz-Credential", "").split("/")
        expires = query.get("X-Amz-Expires", "0")
        if len(scope) != 5 or not expires.isdigit():
            return None
        access_key, date, region, service, _ = scope
        return Signature(
            access_key,
            date,
            region,
            service,
            at=query.get("X-Amz-Date", ""),
            signed_headers=tuple(query.get("X-Amz-SignedHeaders", "").split(";")),
            value=query.get("X-Amz-Signature", ""),
            session_token=query.get("X-Amz-Security-Token", ""),
            presigned=True,
            expires=int(expires),
        )
    match = _HEADER.fullmatch(message.headers.get("authorization", ""))
    scope = match["credential"].split("/") if match else []
    if match is None or len(scope) != 5:
        return None
    access_key, date, region, service, _ = scope
    return Signature(
        access_key,
        date,
        region,
        service,
        at=message.headers.get("x-amz-date", ""),
        signed_headers=tuple(match["headers"].split(";")),
        value=match["signature"],
        session_token=message.headers.get("x-amz-security-token", ""),
    )


def is_valid(signature: Signature, message: Message, secret_key: str) -> bool:
    """Whether the request was signed with this secret key. Times are not looked at."""
    scope = f"{signature.date}/{signature.region}/{signature.service}/aws4_request"
    canonical = _canonical(signature, message)
    text = "\n".join((_ALGORITHM, signature.at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret_key}".encode()
    for part in (signature.date, signature.region, signature.service, "aws4_request"):
        key = _hmac(key, part)
    return hmac.compare_digest(_hmac(key, text).hex(), signature.value)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _canonical(signature: Signature, message: Message) -> str:
    url = urlsplit(message.url)
    # S3 signs the path as it is sent; every other service encodes it once more.
    path = url.path or "/"
    if signature.service != "s3":
        path = quote(path, safe="/~")
    pairs = [
        (_encoded(key), _encoded(value))
        for key, value in _raw_pairs(url.query)
        if not (signature.presigned and key == "X-Amz-Signature")
    ]
    headers = "".join(
        f"{name}:{_SPACES.sub(' ', message.headers.get(name, '')).strip()}\n"
        for name in signature.signed_headers
    )
    return "\n".join(
        (
            message.method,
            path,
            "&".join(f"{key}={value}" for key, value in sorted(pairs)),
            headers,
            ";".join(signature.signed_headers),
            _payload_hash(signature, message),
        )
    )


def _raw_pairs(query: str) -> list[tuple[str, str]]:
    """The query's pairs, decoded without taking ``+`` for a space: signers write ``%20``."""
    split = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(key), unquote(value)) for key, _, value in split]


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _payload_hash(signature: Signature, message: Message) -> str:
    if signature.presigned:
        return "UNSIGNED-PAYLOAD" if signature.service == "s3" else _EMPTY_HASH
    return message.headers.get("x-amz-content-sha256") or hashlib.sha256(message.body).hexdigest()
