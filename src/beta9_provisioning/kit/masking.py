"""Hide secrets in what tools print before it is journaled, logged or shown."""

from __future__ import annotations

import re
from typing import Any

MASK = "(hidden)"

_WORDS = (
    r"password|passwd|passphrase|secret|token|credential|private_?key|access_?key|api_?key|encryption_?key"
)
# A name such as `database_secret_arn` tells where a secret is, not what it is.
_SECRET_NAME = re.compile(rf"(?i)(?:{_WORDS})(?!.*(?:arn|id|name|version|type|at|count|length)$)")
_IN_TEXT = (
    # password=..., "SecretString": "...", token: ...; but neither `random_password.token: Creating...`, an
    # address, nor `arn:...:secret:name`, `secretsmanager:GetSecretValue` or `ExpiredToken: The security ...`
    re.compile(
        rf"""(?ix) (?P<keep> (?<![\w.:-]) (?!expired|invalid|malformed|missing|secretsmanager)
        [\w-]*(?:{_WORDS})[\w-]* (?<!arn)(?<!id)(?<!name) \\?["']? \s*[=:]\s* )
        (?: \\?"[^"]*" | '[^']*' | [^\s,;&"'\\(){{}}\[\]]+ )"""
    ),
    # https://user:password@host
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"),
    # Authorization: Bearer ..., and the signature of a presigned URL
    re.compile(r"(?i)(?P<keep>\bBearer\s+)[\w.~+/=-]+"),
    re.compile(r"(?i)(?P<keep>\bX-Amz-Signature=)\w+"),
)


def mask_text(text: str) -> str:
    """Return `text` with the values of what looks like `password=...` or a URL's credentials hidden."""
    for pattern in _IN_TEXT:
        text = pattern.sub(lambda match: match["keep"] + MASK, text)
    return text


def is_secret_name(name: str) -> bool:
    """Tell whether a value of this name is likely to be a secret itself."""
    return _SECRET_NAME.search(name) is not None


def mask(value: Any, *, secret: bool = False) -> Any:
    """Return a copy of a JSON document with its secrets hidden; with `secret`, every text and number."""
    if isinstance(value, dict):
        return {key: mask(item, secret=secret or is_secret_name(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item, secret=secret) for item in value]
    if secret and isinstance(value, str | int | float) and not isinstance(value, bool):
        return MASK
    return mask_text(value) if isinstance(value, str) else value
