"""Matches the texts of policies: wildcards, and variables that the request fills in.

After "IAM JSON policy elements: Resource", "Condition operators" (ARN) and "Variables and tags" in the AWS
IAM user guide.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

Fill = Callable[[str], str | None]
"""Gives the value of a policy variable, None when the request has none."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_WITH_DEFAULT = re.compile(r"([^,]+?)\s*,\s*'([^']*)'")
_LITERAL = ("*", "?", "$")
# A colon that is not inside of a variable such as ${aws:username}.
_COLON = re.compile(r":(?![^{}]*\})")
_PARTS = 6


class UnresolvedVariable(Exception):
    """The request has no value for a policy variable, so that nothing can match the text."""


def plain(text: str, fill: Fill | None) -> str:
    """Return a text with its variables filled in; ``fill`` is None in policies that know no variables.

    Raises ``UnresolvedVariable``.
    """
    return "".join(piece for piece, _ in _pieces(text, fill))


def like(text: str, value: str, fill: Fill | None) -> bool:
    """Whether a value matches a text with ``*`` and ``?``. Raises ``UnresolvedVariable``."""
    return re.fullmatch(_regex(text, fill), value, re.DOTALL) is not None


def arn_like(text: str, value: str, fill: Fill | None) -> bool:
    """Whether an ARN matches, each of its six parts by itself. Raises ``UnresolvedVariable``."""
    wanted, given = _COLON.split(text, maxsplit=_PARTS - 1), value.split(":", _PARTS - 1)
    if len(wanted) != _PARTS or len(given) != _PARTS:
        return False
    return all(like(one, other, fill) for one, other in zip(wanted, given, strict=True))


def resource_like(text: str, resource: str, fill: Fill | None) -> bool:
    """Whether a text of ``Resource`` covers a resource. Raises ``UnresolvedVariable``.

    A wildcard stays within its part of the ARN, but an asterisk at the end of a part goes beyond colons. Only
    the last part can have variables.
    """
    if text == "*":
        return True
    parts = _COLON.split(text, maxsplit=_PARTS - 1)
    if len(parts) < _PARTS:
        regex = _head(text)
    else:
        regex = _head(":".join(parts[:-1]) + ":") + _regex(parts[-1], fill)
    return re.fullmatch(regex, resource, re.DOTALL) is not None


@lru_cache(maxsize=4096)
def _head(text: str) -> str:
    regex = ""
    for position, sign in enumerate(text, start=1):
        if sign == "*":
            regex += ".*" if text[position : position + 1] in (":", "") else "[^:]*"
        else:
            regex += "[^:]" if sign == "?" else re.escape(sign)
    return regex


def _regex(text: str, fill: Fill | None) -> str:
    return "".join(re.escape(piece) if is_value else _glob(piece) for piece, is_value in _pieces(text, fill))


@lru_cache(maxsize=4096)
def _glob(text: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in text)


def _pieces(text: str, fill: Fill | None) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a text and whether they are values of variables: their asterisks are literal."""
    end = 0
    for found in _VARIABLE.finditer(text) if fill else ():
        assert fill is not None
        yield text[end : found.start()], False
        yield _value(found[1], fill), True
        end = found.end()
    yield text[end:], False


def _value(variable: str, fill: Fill) -> str:
    if variable in _LITERAL:
        return variable
    default = _WITH_DEFAULT.fullmatch(variable.strip())
    value = fill(default[1] if default else variable.strip())
    if value is None and default:
        return default[2]
    if value is None:
        raise UnresolvedVariable(variable)
    return value
