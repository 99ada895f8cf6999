"""Label and field selectors of list, watch and deletecollection requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from beta9_simulator.cluster.errors import ApiError

Predicate = Callable[[dict[str, Any]], bool]

_SET_BASED = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_TERMS = re.compile(r"(?:[^,()]|\([^)]*\))+")
_KEY = re.compile(r"[A-Za-z0-9./_-]+")


def matches_labels(selector: str) -> Predicate:
    """A test of a mapping of labels, from Kubernetes' selector syntax (``a=b,c!=d,e in (f,g),!h,i``).

    Raises:
        ApiError: 400, the selector cannot be parsed.
    """
    tests = [_label_test(term.strip()) for term in _TERMS.findall(selector) if term.strip()]
    return lambda labels: all(test(labels) for test in tests)


def _label_test(term: str) -> Predicate:
    if found := _SET_BASED.fullmatch(term):
        key, operator, values = found[1], found[2], {value.strip() for value in found[3].split(",")}
        return lambda labels: (labels.get(key) in values) == (operator == "in")
    if "!=" in term:
        key, value = (part.strip() for part in term.split("!=", 1))
        return lambda labels: labels.get(key) != value
    if "=" in term:
        key, value = (part.strip() for part in re.split("==?", term, maxsplit=1))
        return lambda labels: labels.get(key) == value
    absent, key = term.startswith("!"), term.lstrip("!").strip()
    if not _KEY.fullmatch(key):
        raise ApiError(400, f"unable to parse requirement: {term!r} is not a label selector")
    return lambda labels: (key in labels) != absent


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, Any]) -> bool:
    """Whether a selector of an object (``matchLabels``, ``matchExpressions``) covers the labels.

    An empty selector covers everything, an absent one nothing.
    """
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(term, labels) for term in selector.get("matchExpressions") or []
    )


def _holds(term: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, operator = str(term["key"]), str(term["operator"])
    if operator in ("Exists", "DoesNotExist"):
        return (key in labels) == (operator == "Exists")
    values: list[str] = term.get("values") or []
    return (labels.get(key) in values) == (operator == "In")


def matches_fields(selector: str) -> Predicate:
    """A test of an object, from a field selector (``metadata.name=a,status.phase!=Running``).

    Raises:
        ApiError: 400, the selector cannot be parsed.
    """
    tests = [_field_test(term) for term in selector.split(",") if term]
    return lambda body: all(test(body) for test in tests)


def _field_test(term: str) -> Predicate:
    found = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
    if not found:
        raise ApiError(400, f"invalid field selector: {term!r} should look like metadata.name=value")
    path, operator, wanted = found[1].strip(), found[2], found[3].strip()

    def test(body: Mapping[str, Any]) -> bool:
        value = dig(body, path)
        return (("" if value is None else str(value)) == wanted) == (operator != "!=")

    return test


def dig(body: Any, path: str) -> Any:
    """The value at a dotted path, or None where the path ends early."""
    for part in path.split("."):
        body = body.get(part) if isinstance(body, Mapping) else None
    return body
