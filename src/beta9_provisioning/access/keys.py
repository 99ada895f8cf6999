"""The form of API keys: a prefix that scanners know, the key's id, and 256 random bits.

What is stored is the SHA-256 of the whole text. A slow hash, as passwords need one, would protect nothing:
nobody guesses 256 random bits.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from beta9_provisioning.kit.ids import new_id, pattern

PREFIX = "b9p_"
"""Every key begins so."""
_ID = "key"
ID_PATTERN = pattern(_ID)
"""Regular expression that every id of a key matches."""
# 32 bytes in base64url without padding.
_TEXT = re.compile(rf"{PREFIX}(?P<id>{ID_PATTERN[len('^key_') : -1]})_[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True)
class NewKey:
    """A key as it is made; its text is shown to its owner, once, and kept nowhere."""

    id: str
    text: str = field(repr=False)
    digest: str


def new() -> NewKey:
    """Return a new key."""
    id_ = new_id(_ID)
    text = f"{PREFIX}{id_.removeprefix(f'{_ID}_')}_{secrets.token_urlsafe(32)}"
    return NewKey(id_, text, digest(text))


def id_of(text: str) -> str | None:
    """Return the id of the key with this text; None when it has not a key's form."""
    found = _TEXT.fullmatch(text)
    return f"{_ID}_{found['id']}" if found else None


def digest(text: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_text_of(text: str, stored: str | None) -> bool:
    """Tell whether a key is the stored one, in the same time whether it is, or whether there is one."""
    return hmac.compare_digest(digest(text), stored or "0" * 64)
