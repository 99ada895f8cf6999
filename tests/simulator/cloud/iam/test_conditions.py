"""Condition operators, one by one, and what becomes of them when a key is absent or has several values."""

import time
from typing import Any

import pytest

from beta9_simulator.cloud.iam.comparisons import OPERATORS
from beta9_simulator.cloud.iam.conditions import (
    GLOBAL_KEYS,
    Facts,
    MissingSetOperator,
    UnknownConditionKey,
    fulfilled,
    parse_conditions,
)

KEY = "svc:key"
ACTION = "svc:Do"


def holds(block: dict[str, Any], context: dict[str, Any] | None = None, *, variables: bool = True) -> bool:
    facts = Facts(ACTION, context or {}, frozenset({KEY, "svc:other", "aws:RequestTag/"}))
    return fulfilled(parse_conditions(block), facts, facts.fill if variables else None)


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", ["a", "b"], "b", True),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEquals", "a", "a", False),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringEqualsIgnoreCase", "Abc", "aBC", True),
        ("StringEqualsIgnoreCase", "abc", "abd", False),
        ("StringNotEqualsIgnoreCase", "Abc", "aBC", False),
        ("StringNotEqualsIgnoreCase", "abc", "abd", True),
        ("StringLike", "a*c", "abbc", True),
        ("StringLike", "a?c", "abc", True),
        ("StringLike", "a?c", "abbc", False),
        ("StringLike", "a*", "A1", False),
        ("StringLike", "[a]", "a", False),
        ("StringLike", "a*", "a\nb", True),
        ("StringNotLike", "a*", "b", True),
        ("StringNotLike", "a*", "ab", False),
        ("StringNotLike", ["a*", "b*"], "bc", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericEquals", 10, "11", False),
        ("NumericEquals", "10", "ten", False),
        ("NumericNotEquals", "10", "10", False),
        ("NumericNotEquals", "10", "11", True),
        ("NumericLessThan", "10", "9.5", True),
        ("NumericLessThan", "10", "10", False),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericLessThanEquals", "10", "11", False),
        ("NumericGreaterThan", "10", "11", True),
        ("NumericGreaterThan", "10", "10", False),
        ("NumericGreaterThanEquals", "10", "10", True),
        ("NumericGreaterThanEquals", "10", "9", False),
        ("DateEquals", "2020-01-01T00:00:00Z", "1577836800", True),
        ("DateEquals", "2020-01-01", "2020-01-01T01:00:00+01:00", True),
        ("DateEquals", "2020-01", "2020-01-01", True),
        ("DateEquals", "2020-01-01", "2020-01-02", False),
        ("DateNotEquals", "2020-01-01", "2020-01-02", True),
        ("DateNotEquals", "2020-01-01", "2020-01-01T00:00:00Z", False),
        ("DateLessThan", "2020-01-02", "2020-01-01T23:59:59Z", True),
        ("DateLessThan", "2020-01-02", "2020-01-02", False),
        ("DateLessThanEquals", "2020-01-02", "2020-01-02", True),
        ("DateLessThanEquals", "2020-01-02", "2020-01-03", False),
        ("DateGreaterThan", "2020-01-02", "2020-01-02T00:00:01Z", True),
        ("DateGreaterThan", "2020-01-02", "2020-01-02", False),
        ("DateGreaterThanEquals", "2020-01-02", "2020-01-02", True),
        ("DateGreaterThanEquals", "2020-01-02", "2020-01-01", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "TRUE", True),
        ("Bool", "false", "true", False),
        ("BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "BinaryValueInBase64", True),
        ("BinaryEquals", "QmluYXJ5", "other", False),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", True),
        ("IpAddress", "203.0.113.0/24", "203.0.114.9", False),
        ("IpAddress", "203.0.113.9", "203.0.113.9", True),
        ("IpAddress", ["10.0.0.0/8", "2001:DB8:1234:5678::/64"], "2001:db8:1234:5678::1", True),
        ("IpAddress", "10.0.0.0/8", "2001:db8::1", False),
        ("NotIpAddress", "203.0.113.0/24", "203.0.113.9", False),
        ("NotIpAddress", "203.0.113.0/24", "10.0.0.1", True),
        ("ArnEquals", "arn:aws:sns:*:1:topic", "arn:aws:sns:eu-west-1:1:topic", True),
        ("ArnLike", "arn:aws:sns:*:1:topic", "arn:aws:sns:eu-west-1:1:topic", True),
        ("ArnLike", "arn:aws:iam::1:role/a*", "arn:aws:iam::1:role/abc", True),
        ("ArnLike", "arn:aws:iam::1:role/a*", "arn:aws:iam::2:role/abc", False),
        # "Amazon Resource Name (ARN) condition operators": a string would match, an ARN does not.
        ("ArnLike", "arn:aws:s:*:111122223333:f/*", "arn:aws:s:r:999999999999:a/b:111122223333:f/d", False),
        ("StringLike", "arn:aws:s:*:111122223333:f/*", "arn:aws:s:r:999999999999:a/b:111122223333:f/d", True),
        ("ArnLike", "arn:aws:logs:*:1:*", "arn:aws:logs:r:1:log-group:a:*", True),
        ("ArnLike", "*", "no-arn", False),
        ("ArnNotEquals", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/a", False),
        ("ArnNotEquals", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b", True),
        ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a", False),
        ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:user/a", True),
        ("Null", "true", "a", False),
        ("Null", "false", "a", True),
    ],
)
def test_operators(operator: str, wanted: Any, given: str, expected: bool) -> None:
    assert holds({operator: {KEY: wanted}}, {KEY: given}) is expected
    if operator != "Null":
        assert holds({f"{operator}IfExists": {KEY: wanted}}, {KEY: given}) is expected


def test_dates_without_a_zone_are_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with monkeypatch.context() as changed:
            changed.setenv("TZ", "UTC+5")
            time.tzset()
            assert holds({"DateEquals": {KEY: "2020-01-01"}}, {KEY: "1577836800"})
    finally:
        time.tzset()


VALUES = {"Num": "1", "Dat": "2020", "Boo": "true", "Bin": "QQ==", "IpA": "10.0.0.1", "Not": "10.0.0.1"}


@pytest.mark.parametrize("operator", OPERATORS)
def test_absent_keys(operator: str) -> None:
    wanted = {KEY: VALUES.get(operator[:3], "a")}
    assert holds({operator: wanted}) is ("Not" in operator)
    assert holds({f"{operator}IfExists": wanted})
    assert holds({f"ForAllValues:{operator}": wanted})
    assert not holds({f"ForAnyValue:{operator}": wanted})
    assert holds({f"ForAnyValue:{operator}IfExists": wanted})


@pytest.mark.parametrize(("wanted", "expected"), [("true", True), (False, False), (["true", "false"], True)])
@pytest.mark.parametrize("context", [{}, {KEY: ()}])
def test_null_of_an_absent_key(wanted: Any, expected: bool, context: dict[str, Any]) -> None:
    assert holds({"Null": {KEY: wanted}}, context) is expected


@pytest.mark.parametrize(
    ("operator", "given", "expected"),
    [
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "c"), False),
        ("ForAllValues:StringEquals", ("c", "d"), False),
        ("ForAllValues:StringEquals", (), True),
        ("ForAllValues:StringEquals", "", True),
        ("ForAnyValue:StringEquals", ("a", "c"), True),
        ("ForAnyValue:StringEquals", ("c", "d"), False),
        ("ForAnyValue:StringEquals", (), False),
        ("ForAnyValue:StringEquals", "", False),
        ("ForAllValues:StringNotEquals", ("c", "d"), True),
        ("ForAllValues:StringNotEquals", ("a", "c"), False),
        ("ForAnyValue:StringNotEquals", ("a", "c"), True),
        ("ForAnyValue:StringNotEquals", ("a", "b"), False),
        ("ForAnyValue:StringLike", ("x", "a"), True),
        ("StringEquals", ("a",), True),
    ],
)
def test_keys_of_several_values(operator: str, given: Any, expected: bool) -> None:
    assert holds({operator: {KEY: ["a", "b"]}}, {KEY: given}) is expected


def test_several_values_need_a_set_operator() -> None:
    with pytest.raises(MissingSetOperator, match=f"{KEY} of {ACTION}"):
        holds({"StringEquals": {KEY: "a"}}, {KEY: ("a", "b")})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({KEY: "a", "svc:other": "b"}, True),
        ({KEY: "a", "svc:other": "c"}, False),
        ({KEY: "c", "svc:other": "b"}, False),
        ({KEY: "a"}, False),
    ],
)
def test_all_keys_and_operators_have_to_hold(given: dict[str, str], expected: bool) -> None:
    assert holds({"StringEquals": {KEY: "a", "svc:other": "b"}}, given) is expected
    assert holds({"StringEquals": {KEY: "a"}, "StringLike": {"svc:other": "b"}}, given) is expected


def test_no_condition_holds_always() -> None:
    assert holds({})


def test_keys_have_no_case() -> None:
    assert holds({"StringEquals": {"SVC:Key": "a"}}, {"svc:KEY": "a"})
    assert holds({"StringEquals": {"aws:requesttag/OWNER": "a"}}, {"aws:RequestTag/owner": "a"})


@pytest.mark.parametrize("key", ["svc:kee", "aws:ResourceTag/owner", "aws:CurrentTime", "svc:key/a"])
def test_unknown_keys_are_loud(key: str) -> None:
    with pytest.raises(UnknownConditionKey) as unknown:
        holds({"StringEquals": {KEY: "no", key: "a"}}, {KEY: "other"})
    assert (unknown.value.key, unknown.value.action) == (key, ACTION)
    for operator in ("StringNotEquals", "StringEqualsIfExists", "ForAllValues:StringEquals"):
        with pytest.raises(UnknownConditionKey):
            holds({operator: {key: "a"}})
    with pytest.raises(UnknownConditionKey):
        holds({"Null": {key: "true"}})


@pytest.mark.parametrize("key", [*sorted(GLOBAL_KEYS - {"aws:principaltag/"}), "aws:PrincipalTag/team"])
def test_global_keys_are_known(key: str) -> None:
    assert not holds({"StringEquals": {key: "a"}})
    assert holds({"StringEquals": {key: "a"}}, {key: "a"})


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "expected"),
    [
        ("StringEquals", "${aws:username}", "ann", True),
        ("StringEquals", "home/${aws:UserName}/", "home/ann/", True),
        ("StringNotEquals", "${aws:username}", "ann", False),
        ("StringEquals", "${aws:PrincipalTag/team}", "a*", True),
        ("StringLike", "${aws:PrincipalTag/team}", "ab", False),
        ("StringLike", "${aws:PrincipalTag/team}*", "a*b", True),
        ("StringLike", "${aws:PrincipalTag/none, 'all'}-*", "all-x", True),
        ("StringLike", "${aws:PrincipalTag/team, 'all'}", "all", False),
        ("StringLike", "a${*}", "a*", True),
        ("StringLike", "a${*}", "ab", False),
        ("StringLike", "a${?}", "a?", True),
        ("StringLike", "a${?}", "ab", False),
        ("StringEquals", "a${$}", "a$", True),
        ("StringEquals", "a${*}", "a*", True),
        ("StringEquals", "${aws:PrincipalTag/none}", "ann", False),
        ("StringEquals", ["${aws:PrincipalTag/none}", "ann"], "ann", True),
        # What cannot be resolved makes the statement invalid, so no negation helps it.
        ("StringNotEquals", "${aws:PrincipalTag/none}", "ann", False),
        ("ArnLike", "arn:aws:iam::${aws:PrincipalTag/account}:role/*", "arn:aws:iam::12:role/a", True),
        ("ArnLike", "arn:aws:iam::${aws:PrincipalTag/account}:role/*", "arn:aws:iam::13:role/a", False),
    ],
)
def test_variables(operator: str, wanted: Any, given: str, expected: bool) -> None:
    tags = {"aws:PrincipalTag/team": "a*", "aws:PrincipalTag/account": "12"}
    assert holds({operator: {KEY: wanted}}, {KEY: given, "aws:username": "ann", **tags}) is expected


def test_variables_are_texts_in_earlier_versions() -> None:
    block = {"StringEquals": {KEY: "${aws:username}"}}
    context = {KEY: "${aws:username}", "aws:username": "ann"}
    assert holds(block, context, variables=False)
    assert not holds(block, context)


def test_unknown_variables_are_loud() -> None:
    with pytest.raises(UnknownConditionKey):
        holds({"StringEquals": {KEY: "${svc:kee}"}}, {KEY: "a"})
