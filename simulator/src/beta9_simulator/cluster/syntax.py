"""Names, labels, selectors, ports and quantities: the forms that Kubernetes accepts.

The patterns are those of ``k8s.io/apimachinery`` (``pkg/util/validation``, ``pkg/api/resource``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from beta9_simulator.cluster.errors import invalid
from beta9_simulator.cluster.resources import Resource

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_WILDCARD = re.compile(rf"\*\.{SUBDOMAIN.pattern}")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_QUANTITY = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?")
_OPERATORS = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}  # whether they take values
_SUFFIXES = {letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)}
_SUFFIXES |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_SUFFIXES |= {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")}


def is_label_value(value: Any) -> bool:
    """Whether the value may stand in a label or selector."""
    return isinstance(value, str) and bool(_LABEL_VALUE.fullmatch(value))


def is_label_key(key: str) -> bool:
    """Whether the key may stand in labels, annotations or selectors."""
    prefix, slash, bare = key.rpartition("/")
    return bool(_QUALIFIED_NAME.fullmatch(bare)) and (not slash or bool(SUBDOMAIN.fullmatch(prefix)))


def is_host(name: str) -> bool:
    """Whether an Ingress may be for the host: a name of DNS, or a wildcard for one of its labels."""
    return len(name) <= 253 and bool(SUBDOMAIN.fullmatch(name) or _WILDCARD.fullmatch(name))


def is_port(value: Any) -> bool:
    """Whether the value is a number of a port."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def is_port_or_name(value: Any) -> bool:
    """Whether the value is a number of a port, or may be the name of one."""
    return is_port(value) or (isinstance(value, str) and bool(_PORT_NAME.fullmatch(value)))


def quantity(value: Any) -> Decimal | None:
    """The number that a quantity (``250m``, ``1Gi``, ``2``) stands for, or None if it is none."""
    found = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    if found is None:
        return None
    text, suffix = str(value), found[2] or ""
    if suffix in _SUFFIXES:
        return Decimal(text.removesuffix(suffix)) * _SUFFIXES[suffix]
    return Decimal(text)


def check_labels(resource: Resource, name: str, field: str, labels: Any) -> None:
    """Refuse labels, or what a selector matches, of a wrong form.

    Raises:
        ApiError: 422.
    """
    if not isinstance(labels, dict | None):
        raise invalid(resource, name, field, "Invalid value: must be a map")
    for key, value in (labels or {}).items():
        check_label_key(resource, name, field, key)
        if not is_label_value(value):
            why = f"Invalid value: {value!r}: at most 63 letters, digits, '-', '_' or '.', in quotes"
            raise invalid(resource, name, f"{field}.{key}", why)


def check_label_key(resource: Resource, name: str, field: str, key: str) -> None:
    """Refuse a key of labels or annotations of a wrong form.

    Raises:
        ApiError: 422.
    """
    if not is_label_key(key):
        raise invalid(resource, name, field, f"Invalid value: {key!r} is not a label or annotation key")


def check_selector(resource: Resource, name: str, field: str, selector: Any) -> None:
    """Refuse a selector (``matchLabels``, ``matchExpressions``) of a wrong form.

    Raises:
        ApiError: 422.
    """
    check_labels(resource, name, f"{field}.matchLabels", (selector or {}).get("matchLabels"))
    for index, term in enumerate((selector or {}).get("matchExpressions") or []):
        where = f"{field}.matchExpressions[{index}]"
        check_label_key(resource, name, f"{where}.key", term.get("key", ""))
        takes_values = _OPERATORS.get(term.get("operator"))
        if takes_values is None:
            why = f"Invalid value: {term.get('operator')!r}: not a valid selector operator"
            raise invalid(resource, name, f"{where}.operator", why)
        values = term.get("values") or []
        if bool(values) != takes_values:
            why = "Required value: with `In` and `NotIn`" if takes_values else "Forbidden: with this operator"
            raise invalid(resource, name, f"{where}.values", why)
        for value in values:
            if not is_label_value(value):
                raise invalid(resource, name, f"{where}.values", f"Invalid value: {value!r}")


def check_unique(resource: Resource, name: str, field: str, values: Iterable[Any]) -> None:
    """Refuse a value that is there twice; ``field`` names where.

    Raises:
        ApiError: 422.
    """
    seen = set()
    for value in values:
        if value in seen:
            raise invalid(resource, name, field, f"Duplicate value: {value!r}")
        seen.add(value)
