"""Where the statements of a policy are in its text, as IAM's simulator tells it."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Position:
    """A place in a text; both count from 1. The end of a statement is behind its brace."""

    line: int
    column: int


@lru_cache(maxsize=64)
def spans(text: str) -> tuple[tuple[Position, Position], ...]:
    """Return beginning and end of each statement of a policy that has been read before."""
    place = _behind(text, 0, "{")
    while True:
        key, end = _DECODER.raw_decode(text, place)
        place = _behind(text, end, ":")
        if key == "Statement":
            found = _statements(text, place)
            return tuple((_position(text, begin), _position(text, end)) for begin, end in found)
        _, end = _DECODER.raw_decode(text, place)
        place = _behind(text, end, ",")


def _statements(text: str, place: int) -> list[tuple[int, int]]:
    if text[place] == "{":
        return [(place, _DECODER.raw_decode(text, place)[1])]
    found = []
    sign = "["
    while text[_skipped(text, place)] == sign:
        begin = _behind(text, place, sign)
        place = _DECODER.raw_decode(text, begin)[1]
        found.append((begin, place))
        sign = ","
    return found


def _skipped(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found is not None
    return found.end()


def _behind(text: str, place: int, sign: str) -> int:
    """Return where the next word begins behind a sign that comes next."""
    place = _skipped(text, place)
    assert text[place] == sign, (text, place, sign)
    return _skipped(text, place + 1)


def _position(text: str, place: int) -> Position:
    before = text[:place]
    return Position(before.count("\n") + 1, place - (before.rfind("\n") + 1) + 1)
