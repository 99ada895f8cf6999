"""YAML as configurations need it: one document of plain data, with the scalars of YAML 1.2.

Anchors, aliases and tags are refused, so that a short text cannot grow in memory and nothing but data is
made; duplicate keys are refused, because one of the two would be lost silently. The scalar forms are those
of the core schema (YAML 1.2.2, section 10.3.2): `no` and `on` are text, `012` is the number 12.
"""

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAX_DEPTH = 32


class YamlRefused(ValueError):
    """The text is no YAML, or YAML of a kind that is not accepted; the message says where."""


def parse(text: str) -> Any:
    """Return the one document in the text.

    Raises:
        YamlRefused: with the place (line and column, from 1) where possible.
    """
    try:
        return _document(_events(text))
    except RecursionError as error:
        raise YamlRefused("it is nested too deeply") from error


def _events(text: str) -> Iterator[Event]:
    """Yield what the parser finds; whatever it raises is the text's fault, and told as such."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise YamlRefused(f"{problem}{_place(error.problem_mark)}") from error
    except RecursionError:
        raise
    except (
        Exception
    ) as error:  # not only YAMLError: of \U00110000 or %YAML 1.3 it lets Python's own errors out
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise YamlRefused(f"the parser cannot take it ({first[:200]})") from error


def _document(events: Iterator[Event]) -> Any:
    first = next(events)
    if not isinstance(first, StreamStartEvent):
        raise YamlRefused("it has no beginning")
    if isinstance(next(events), StreamEndEvent):
        return None
    value = _value(next(events), events, 0)
    end = next(events)
    if isinstance(end, DocumentEndEvent):
        end = next(events)
    if not isinstance(end, StreamEndEvent):
        raise YamlRefused("only one document is accepted" + _place(end.start_mark))
    return value


def _value(event: Event, events: Iterator[Event], depth: int) -> Any:
    where = _place(event.start_mark)
    if depth > _MAX_DEPTH:
        raise YamlRefused("it is nested too deeply" + where)
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
        raise YamlRefused("anchors and aliases are not accepted" + where)
    if getattr(event, "tag", None):
        raise YamlRefused("tags are not accepted" + where)
    if isinstance(event, ScalarEvent):
        return _scalar(event, where)
    if isinstance(event, SequenceStartEvent):
        return [_value(item, events, depth + 1) for item in _until(SequenceEndEvent, events)]
    assert isinstance(event, MappingStartEvent)
    mapping: dict[str, Any] = {}
    for key_event in _until(MappingEndEvent, events):
        key = _key(key_event)
        if key in mapping:
            raise YamlRefused(f"the key {key[:100]!r} comes twice" + _place(key_event.start_mark))
        mapping[key] = _value(next(events), events, depth + 1)
    return mapping


def _until(end: type[Event], events: Iterator[Event]) -> Iterator[Event]:
    while not isinstance(event := next(events), end):
        yield event


def _key(event: Event) -> str:
    where = _place(event.start_mark)
    if not isinstance(event, ScalarEvent):
        raise YamlRefused("a key must be text" + where)
    key = _value(event, iter(()), 0)
    # A plain `1042:` or `true:` can only mean the text that was written.
    return key if isinstance(key, str) else str(event.value)


def _scalar(event: ScalarEvent, where: str) -> object:
    text: str = event.value
    if not event.implicit[0]:  # quoted, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        raise YamlRefused("infinity and not-a-number are not accepted" + where)
    try:
        return _number(text)
    except (ValueError, OverflowError) as error:
        raise YamlRefused("the number is too large" + where) from error


def _number(text: str) -> object:
    """Return the number that a plain scalar writes, or the text itself."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise OverflowError
        return value
    return text


def _place(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
