"""Compares one value of a policy with one value of a request, as each condition operator does.

After "IAM JSON policy elements: Condition operators" in the AWS IAM user guide.
"""

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from beta9_simulator.cloud.iam.patterns import Fill, arn_like, like, plain

Compare = Callable[[str, str, Fill | None], bool]
"""Whether the policy's value (first) matches the request's; raises ``UnresolvedVariable``."""
Order = Callable[[float, float], bool]

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_EPOCH = re.compile(r"\d+")
# "Date and Time Formats" of the W3C: a month, or a day, which may have a time with its zone. A year alone
# would be a Unix time.
_MOMENT = re.compile(r"\d{4}-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?)?", re.IGNORECASE)


@dataclass(frozen=True)
class Operator:
    """How a condition operator compares, which values a policy may give it, and whether it negates."""

    compare: Compare
    may_be: Callable[[str], bool] = lambda _: True
    is_negated: bool = False


def number(text: str) -> float | None:
    """Return what a number says, None when it is none."""
    return float(Decimal(text)) if _NUMBER.fullmatch(text) else None


def moment(text: str) -> float | None:
    """Return the Unix time that a date says, None when it is none."""
    if _EPOCH.fullmatch(text):
        return float(text)
    if not _MOMENT.fullmatch(text):
        return None
    whole = f"{text}-01" if len(text) == len("2020-01") else text
    try:
        found = datetime.fromisoformat(whole.upper())
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return an address or a range of addresses, None when it is neither."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def octets(text: str) -> bytes | None:
    """Return what a base64 text stands for, None when it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def is_bool(text: str) -> bool:
    """Whether a text says true or false."""
    return text.lower() in ("true", "false")


def _equals(wanted: str, given: str, fill: Fill | None) -> bool:
    return plain(wanted, fill) == given


def _equals_in_any_case(wanted: str, given: str, fill: Fill | None) -> bool:
    return plain(wanted, fill).casefold() == given.casefold()


def _bool(wanted: str, given: str, _fill: Fill | None) -> bool:
    return wanted.lower() == given.lower()


def _binary(wanted: str, given: str, _fill: Fill | None) -> bool:
    return octets(wanted) == given.encode()


def _within(wanted: str, given: str, _fill: Fill | None) -> bool:
    around, address = network(wanted), network(given)
    return around is not None and address is not None and address.network_address in around


def _ordered(read: Callable[[str], float | None], order: Order) -> Compare:
    def compare(wanted: str, given: str, _fill: Fill | None) -> bool:
        one, other = read(given), read(wanted)
        return one is not None and other is not None and order(one, other)

    return compare


def _orders(family: str, read: Callable[[str], float | None]) -> dict[str, Operator]:
    def may_be(text: str) -> bool:
        return read(text) is not None

    orders: dict[str, Order] = {
        "Equals": operator.eq,
        "LessThan": operator.lt,
        "LessThanEquals": operator.le,
        "GreaterThan": operator.gt,
        "GreaterThanEquals": operator.ge,
    }
    made = {f"{family}{name}": Operator(_ordered(read, order), may_be) for name, order in orders.items()}
    return {**made, f"{family}NotEquals": Operator(_ordered(read, operator.eq), may_be, is_negated=True)}


OPERATORS = {
    "StringEquals": Operator(_equals),
    "StringNotEquals": Operator(_equals, is_negated=True),
    "StringEqualsIgnoreCase": Operator(_equals_in_any_case),
    "StringNotEqualsIgnoreCase": Operator(_equals_in_any_case, is_negated=True),
    "StringLike": Operator(like),
    "StringNotLike": Operator(like, is_negated=True),
    **_orders("Numeric", number),
    **_orders("Date", moment),
    "Bool": Operator(_bool, is_bool),
    "BinaryEquals": Operator(_binary, lambda text: octets(text) is not None),
    "IpAddress": Operator(_within, lambda text: network(text) is not None),
    "NotIpAddress": Operator(_within, lambda text: network(text) is not None, is_negated=True),
    "ArnEquals": Operator(arn_like),
    "ArnLike": Operator(arn_like),
    "ArnNotEquals": Operator(arn_like, is_negated=True),
    "ArnNotLike": Operator(arn_like, is_negated=True),
}
"""All condition operators but ``Null``, which compares nothing."""
