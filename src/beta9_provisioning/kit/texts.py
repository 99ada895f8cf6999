"""Words of others (tools, clouds, customers' clusters): made storable, and bounded.

PostgreSQL's `text` and `jsonb` take neither NUL nor half a surrogate, and `jsonb` no NaN; Go's JSON, Python's
and a customer's webhook write all of them. Whoever writes rows passes what it writes through here, so that
no other place has to think of it.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

TEXT_BYTES = 8 * 1024
"""The longest text that is kept, in UTF-8."""
DOCUMENT_BYTES = 64 * 1024
"""The largest document that is kept: about the bytes of its JSON."""
ANSWER_BYTES = 16 * 1024 * 1024
"""The most that is taken of one answer, of a cluster or of a tool."""

_DEPTH = 16
_KEY_BYTES = 256
# What a key, a number or a bracket counts: a bound on how many there are, not an exact size.
_ENTRY_BYTES = 8
# The largest number that JSON readers are sure to take is far below this.
_NUMBER_BITS = 1024
# Control characters steer a reader's terminal; tabs and ends of lines do no harm.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def is_plain_line(text: str) -> bool:
    """Tell whether a text has no control characters, ends of lines included, and no half of a surrogate."""
    return _UNFIT.search(text) is None and not set(text) & set("\t\n\r")


def clean_text(text: str, limit: int = TEXT_BYTES) -> str:
    """Return the text without control characters, and without what cannot be stored, each replaced by `�`.

    Of a text that is longer than `limit` bytes the beginning is returned, with a mark that says so. What
    follows a cut is never shown: the name that would make it known as a secret may be in what was cut.
    What this has returned once, it returns again as it is.
    """
    kept = _UNFIT.sub(_REPLACEMENT, text[: limit + 1]).encode()
    if len(kept) <= limit:
        return kept.decode()
    mark = f"… (cut; it had {len(text)} characters)".encode()
    return kept[: max(limit - len(mark), 0)].decode(errors="ignore") + mark.decode()


def clean_document(value: Any, limit: int = DOCUMENT_BYTES) -> Any:
    """Return a copy that `jsonb` can store: texts cleaned, keys too, bounded in depth and to `limit` bytes.

    What is left out is replaced by a text that says so. What JSON does not know becomes text.
    """
    return _Document(limit).copy(value, _DEPTH)


class _Document:
    """One walk through a document, and how many bytes it may still keep."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def copy(self, value: Any, depth: int) -> Any:
        self._left -= _ENTRY_BYTES
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and value.bit_length() <= _NUMBER_BITS:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if depth == 0:
                return "(left out: nested too deep)"
            return self._mapping(value, depth) if isinstance(value, Mapping) else self._list(value, depth)
        return self._text(value)

    def _text(self, value: object) -> str:
        if isinstance(value, int):
            return f"(left out: a number of {value.bit_length()} bits)"
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        text = clean_text(text, max(min(TEXT_BYTES, self._left), 0))
        self._left -= len(text.encode())
        return text

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for number, (key, item) in enumerate(value.items()):
            if self._left <= 0:
                copied["…"] = _left_out(len(value) - number)
                break
            name = clean_text(str(key), _KEY_BYTES)
            self._left -= len(name.encode())
            copied[name] = self.copy(item, depth - 1)
        return copied

    def _list(self, value: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], depth: int) -> list[Any]:
        copied: list[Any] = []
        for number, item in enumerate(value):
            if self._left <= 0:
                copied.append(_left_out(len(value) - number))
                break
            copied.append(self.copy(item, depth - 1))
        return copied


def _left_out(count: int) -> str:
    return f"({count} more left out)"
