"""The ``Condition`` element of a statement: its grammar, and whether a request fulfils it.

After "IAM JSON policy elements: Condition operators", "Conditions with multiple context keys or values",
"Multivalued context key examples" and "AWS global condition context keys" in the AWS IAM user guide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud.iam.comparisons import OPERATORS, is_bool
from beta9_simulator.cloud.iam.faults import syntax
from beta9_simulator.cloud.iam.patterns import Fill, UnresolvedVariable

GLOBAL_KEYS = frozenset(
    {
        "aws:calledvia",
        "aws:calledviafirst",
        "aws:calledvialast",
        "aws:federatedprovider",
        "aws:multifactorauthage",
        "aws:multifactorauthpresent",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:principalservicename",
        "aws:principalservicenameslist",
        "aws:principaltag/",
        "aws:referer",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceidentity",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:tokenissuetime",
        "aws:username",
        "aws:vpcsourceip",
        "ec2:sourceinstancearn",
    }
)
"""Keys that a request for any action may have or lack.

What AWS sends with every request (``aws:CurrentTime``, ``aws:SecureTransport``, ``aws:SourceIp``,
``aws:RequestedRegion`` and their like) is left out: if the context does not have it, to take it for absent
would judge wrongly.
"""

_NULL = "Null"
_IF_EXISTS = "IfExists"
_SETS = ("ForAllValues", "ForAnyValue")


class UnknownConditionKey(Exception):
    """A statement depends on a key of which nobody said that a request for this action could have it."""

    def __init__(self, key: str, action: str) -> None:
        super().__init__(f"{key} is no known condition key of {action}")
        self.key = key
        self.action = action


class MissingSetOperator(Exception):
    """A key with several values is compared without ForAllValues or ForAnyValue: AWS does not say how."""

    def __init__(self, key: str, action: str) -> None:
        super().__init__(f"{key} of {action} has several values: use ForAllValues or ForAnyValue")
        self.key = key
        self.action = action


@dataclass(frozen=True)
class Condition:
    """One operator with one key, and the values for it. ``among`` is ForAllValues, ForAnyValue or empty."""

    operator: str
    key: str
    values: tuple[str, ...]
    among: str = ""
    if_exists: bool = False


class Facts:
    """What a request says about itself. Keys are compared without case."""

    def __init__(
        self, action: str, context: Mapping[str, str | tuple[str, ...]], known: frozenset[str] = frozenset()
    ) -> None:
        self.action = action
        self._values = {
            key.lower(): (value,) if isinstance(value, str) else value for key, value in context.items()
        }
        self._known = GLOBAL_KEYS | {key.lower() for key in known} | self._values.keys()

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values of a key, none when the request lacks it. Raises ``UnknownConditionKey``."""
        name = key.lower()
        family, slash, _ = name.partition("/")
        if name not in self._known and not (slash and f"{family}/" in self._known):
            raise UnknownConditionKey(key, self.action)
        return self._values.get(name, ())

    def fill(self, variable: str) -> str | None:
        """Return the value of a policy variable; keys of several values are none."""
        values = self.values(variable)
        return values[0] if len(values) == 1 else None


def parse_conditions(block: Any) -> tuple[Condition, ...]:
    """Read the ``Condition`` element. Raises ``CloudError`` for what IAM does not understand."""
    if not isinstance(block, dict):
        raise syntax("Condition is no object")
    read = []
    for written, wanted in block.items():
        among, name, if_exists = _operator(written)
        if not isinstance(wanted, dict):
            raise syntax(f"{written} has no keys")
        for key, value in wanted.items():
            values = _values(key, value)
            may_be = is_bool if name == _NULL else OPERATORS[name].may_be
            for one in values:
                if not may_be(one):
                    raise syntax(f"{one} is no value for {written}")
            read.append(Condition(name, key, values, among, if_exists))
    return tuple(read)


def _operator(written: str) -> tuple[str, str, bool]:
    among, colon, name = written.rpartition(":")
    if_exists = name.endswith(_IF_EXISTS)
    name = name.removesuffix(_IF_EXISTS)
    is_known = name in OPERATORS or (name == _NULL and not if_exists)
    if not is_known or (colon and among not in _SETS):
        raise syntax(f"{written} is no condition operator")
    return among, name, if_exists


def _values(key: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str | bool | int | float) for one in values):
        raise syntax(f"{key} needs values")
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in values)


def fulfilled(conditions: tuple[Condition, ...], facts: Facts, fill: Fill | None) -> bool:
    """Whether a request fulfils all conditions of a statement.

    ``fill`` is None in policies of a version that knows no variables. Raises ``MissingSetOperator``, and
    ``UnknownConditionKey`` for a key that the request could not have, even if another condition fails.
    """
    given = [facts.values(condition.key) for condition in conditions]
    return all(_holds(*pair, facts, fill) for pair in zip(conditions, given, strict=True))


def _holds(condition: Condition, given: tuple[str, ...], facts: Facts, fill: Fill | None) -> bool:
    if condition.operator == _NULL:
        return any((value.lower() == "true") == (not given) for value in condition.values)
    if condition.among:
        # "If the key values resolve to an empty data set (for example, an empty string)."
        given = tuple(value for value in given if value)
    if not given:
        return _holds_when_absent(condition)
    if len(given) > 1 and not condition.among:
        raise MissingSetOperator(condition.key, facts.action)
    matches = [_matches(condition, value, fill) for value in given]
    return all(matches) if condition.among == "ForAllValues" else any(matches)


def _holds_when_absent(condition: Condition) -> bool:
    if condition.if_exists or condition.among == "ForAllValues":
        return True
    return not condition.among and OPERATORS[condition.operator].is_negated


def _matches(condition: Condition, given: str, fill: Fill | None) -> bool:
    operator = OPERATORS[condition.operator]
    found = False
    for wanted in condition.values:
        try:
            found = found or operator.compare(wanted, given, fill)
        except UnresolvedVariable:
            # Any attempt to match it fails, and makes the statement invalid: so it must not hold by negation.
            if operator.is_negated:
                return False
    return found != operator.is_negated
