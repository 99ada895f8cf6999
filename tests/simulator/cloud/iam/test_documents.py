"""What IAM takes as a policy, and what it refuses in which words."""

import json
from typing import Any

import pytest

from beta9_simulator.cloud.iam.documents import (
    Document,
    Kind,
    check_inline_policies,
    check_managed_policy,
    check_trust_policy,
    parse,
    size,
)
from beta9_simulator.cloud.rules import CloudError

USUAL: dict[Kind, dict[str, Any]] = {
    Kind.IDENTITY: {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"},
    Kind.RESOURCE: {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"},
    Kind.TRUST: {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
USUAL[Kind.BOUNDARY] = USUAL[Kind.SESSION] = USUAL[Kind.IDENTITY]


def policy(*statements: Any, **elements: Any) -> str:
    document = {"Version": "2012-10-17", "Statement": list(statements), **elements}
    return json.dumps({key: value for key, value in document.items() if value is not None})


def changed(kind: Kind, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**USUAL[kind], **changes}.items() if value is not None}


def refusal(text: str, kind: Kind = Kind.IDENTITY) -> str:
    with pytest.raises(CloudError) as refused:
        parse(text, kind)
    assert refused.value.code == "MalformedPolicyDocument"
    return refused.value.message


@pytest.mark.parametrize("kind", Kind)
def test_a_usual_policy_is_taken(kind: Kind) -> None:
    read = parse(policy(USUAL[kind]), kind)
    assert (read.kind, len(read.statements), read.knows_variables) == (kind, 1, True)
    assert read.statements[0].is_allow


def test_one_statement_needs_no_list() -> None:
    assert len(parse(policy(Statement=USUAL[Kind.IDENTITY]), Kind.IDENTITY).statements) == 1


@pytest.mark.parametrize(
    "resource",
    [
        "*",
        "arn:aws:s3:::b",
        "arn:aws-us-gov:s3:::b",
        "arn:*:s3:::b",
        "arn:aws:ec2:*:123456789012:vpc/*",
        "arn:aws:ec2:us-east-?:*:*",
        "arn:aws:ec2:*",
        "arn:aws:iam::*:role/*",
        "arn:aws:iam::123456789012:*",
        "arn:aws:logs:eu-west-1:1:log-group:a:*",
        "arn:aws:s3:::b/${aws:username}/*",
        ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
    ],
)
def test_resources_that_iam_takes(resource: Any) -> None:
    parse(policy(changed(Kind.IDENTITY, Resource=resource)), Kind.IDENTITY)
    parse(policy(changed(Kind.IDENTITY, Resource=None, NotResource=resource)), Kind.IDENTITY)


@pytest.mark.parametrize("action", ["*", "s3:*", "ec2:Describe*", "s3:Get?bject", ["iam:PassRole", "iam:*"]])
def test_actions_that_iam_takes(action: Any) -> None:
    parse(policy(changed(Kind.IDENTITY, Action=action)), Kind.IDENTITY)
    parse(policy(changed(Kind.IDENTITY, Action=None, NotAction=action)), Kind.IDENTITY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "[" * 100_000,
        policy(),
        policy(Statement=None),
        policy("text"),
        policy(USUAL[Kind.IDENTITY], Version="2013-10-17"),
        policy(USUAL[Kind.IDENTITY], Version=20121017),
        policy(USUAL[Kind.IDENTITY], Extra="value"),
        policy(USUAL[Kind.IDENTITY], Id=["one"]),
        '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": '
        '{"Effect": "Allow", "Action": "*", "Resource": "*"}}',
        '{"Version": "2012-10-17", "Statement": '
        '{"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}',
        '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", '
        '"Condition": {"NumericEquals": {"s3:max-keys": NaN}}}}',
    ],
)
def test_what_is_no_policy(text: str) -> None:
    assert refusal(text).startswith("Syntax errors in policy.")


@pytest.mark.parametrize(
    "changes",
    [
        {"Effect": None},
        {"Effect": "allow"},
        {"Effect": True},
        {"Sid": 1},
        {"Resources": "*"},
        {"NotAction": "s3:*"},
        {"NotResource": "*"},
        {"Action": ["s3:GetObject", 1]},
        {"Action": {"s3": "GetObject"}},
        {"Resource": [["*"]]},
        {"Condition": []},
        {"Condition": {"StringEquals": "a"}},
        {"Condition": {"StringEqual": {"a": "b"}}},
        {"Condition": {"stringequals": {"a": "b"}}},
        {"Condition": {"NullIfExists": {"a": "true"}}},
        {"Condition": {"ForAnyValue::StringEquals": {"a": "b"}}},
        {"Condition": {"ForSomeValues:StringEquals": {"a": "b"}}},
        {"Condition": {":StringEquals": {"a": "b"}}},
        {"Condition": {"StringEquals": {"a": []}}},
        {"Condition": {"StringEquals": {"a": {"b": "c"}}}},
        {"Condition": {"StringEquals": {"a": None}}},
        {"Condition": {"NumericEquals": {"a": "one"}}},
        {"Condition": {"DateEquals": {"a": "2017-13-01"}}},
        {"Condition": {"DateEquals": {"a": "yesterday"}}},
        {"Condition": {"Bool": {"a": "yes"}}},
        {"Condition": {"Null": {"a": "no"}}},
        {"Condition": {"IpAddress": {"a": "10.0.0.0/33"}}},
        {"Condition": {"BinaryEquals": {"a": "*"}}},
    ],
    ids=str,
)
def test_statements_of_a_wrong_form(changes: dict[str, Any]) -> None:
    # `changed` leaves out what is None, so that a null can only be inside of an element.
    assert refusal(policy(changed(Kind.IDENTITY, **changes))).startswith("Syntax errors in policy.")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Kind.IDENTITY, {"Action": None}, "Policy statement must contain actions."),
        (Kind.IDENTITY, {"Action": []}, "Policy statement must contain actions."),
        (Kind.IDENTITY, {"Resource": None}, "Policy statement must contain resources."),
        (Kind.IDENTITY, {"Resource": []}, "Policy statement must contain resources."),
        (Kind.RESOURCE, {"Resource": None}, "Policy statement must contain resources."),
        (Kind.IDENTITY, {"Action": "GetObject"}, "must be prefaced by a vendor"),
        (Kind.IDENTITY, {"Action": ""}, "must be prefaced by a vendor"),
        (Kind.IDENTITY, {"Action": "s3:Get:Object"}, "can contain only one colon"),
        (Kind.IDENTITY, {"Action": "s 3:Get"}, "Vendor s 3 is not valid"),
        (Kind.IDENTITY, {"Action": "*:Get"}, "Vendor * is not valid"),
        (Kind.IDENTITY, {"Resource": "bucket"}, 'Resource bucket must be in ARN format or "*".'),
        (Kind.IDENTITY, {"Resource": ""}, 'Resource  must be in ARN format or "*".'),
        (Kind.IDENTITY, {"Resource": "arn"}, 'Resource arn must be in ARN format or "*".'),
        (Kind.IDENTITY, {"Resource": "arn:error:s3:::b"}, 'Partition "error" is not valid'),
        (Kind.IDENTITY, {"Resource": "arn:aws"}, "Resource vendor must be fully qualified"),
        (Kind.IDENTITY, {"Resource": "arn:aws:*:::b"}, "cannot contain regexes"),
        (Kind.IDENTITY, {"Resource": "arn:aws:s3::b"}, "The policy failed legacy parsing"),
        (Kind.IDENTITY, {"Resource": "arn:aws::::b"}, "The policy failed legacy parsing"),
        (Kind.IDENTITY, {"Resource": "arn:aws:iam:us-east-1:1:role/a"}, "cannot contain region information"),
        (Kind.IDENTITY, {"Resource": "arn:aws:iam::1:roles/a"}, "IAM resource path must either be"),
        (Kind.IDENTITY, {"Resource": "arn:aws:iam::1:*/*"}, "IAM resource path must either be"),
        (Kind.IDENTITY, {"Sid": "with space"}, "Statement IDs (SID) must be alpha-numeric."),
        (Kind.TRUST, {"Sid": "a-b"}, "Statement IDs (SID) must be alpha-numeric."),
        (Kind.IDENTITY, {"Principal": "*"}, "Policy document should not specify a principal."),
        (Kind.BOUNDARY, {"NotPrincipal": "*"}, "Policy document should not specify a principal."),
        (Kind.SESSION, {"Principal": "*"}, "Policy document should not specify a principal."),
        (Kind.RESOURCE, {"Principal": None}, "Missing required field Principal"),
        (Kind.TRUST, {"Principal": None}, "Missing required field Principal"),
        (Kind.TRUST, {"Principal": {}}, "Invalid principal in policy"),
        (Kind.TRUST, {"Principal": {"AWS": []}}, "Invalid principal in policy"),
        (Kind.TRUST, {"Principal": {"aws": "*"}}, "Invalid principal in policy"),
        (Kind.TRUST, {"Principal": {"AWS": "arn:aws:iam::1:role/*"}}, '"AWS":"arn:aws:iam::1:role/*"'),
        (Kind.TRUST, {"Principal": {"AWS": "somebody"}}, '"AWS":"somebody"'),
        (Kind.TRUST, {"Resource": "*"}, "Has prohibited field Resource."),
        (Kind.TRUST, {"NotResource": "*"}, "Has prohibited field Resource."),
        (Kind.TRUST, {"Action": "s3:*"}, "may only specify STS AssumeRole actions"),
        (Kind.TRUST, {"Action": "*"}, "may only specify STS AssumeRole actions"),
    ],
    ids=str,
)
def test_iams_own_words(kind: Kind, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(policy(changed(kind, **changes)), kind)


def test_statement_ids_are_unique() -> None:
    same = changed(Kind.IDENTITY, Sid="One")
    assert refusal(policy(same, same)) == "Statement IDs (SID) in a single policy must be unique."
    none = changed(Kind.IDENTITY, Sid="")
    assert len(parse(policy(none, none), Kind.IDENTITY).statements) == 2


def test_ids_of_resources_policies_may_have_spaces() -> None:
    assert parse(policy(changed(Kind.RESOURCE, Sid="a b")), Kind.RESOURCE).statements[0].sid == "a b"


@pytest.mark.parametrize("kind", [Kind.BOUNDARY, Kind.SESSION])
def test_a_version_is_demanded(kind: Kind) -> None:
    message = "Policy document must be version 2012-10-17 or greater."
    assert refusal(policy(USUAL[kind], Version=None), kind) == message


@pytest.mark.parametrize("kind", [Kind.IDENTITY, Kind.RESOURCE, Kind.TRUST])
def test_the_earlier_version_is_the_default_elsewhere(kind: Kind) -> None:
    assert not parse(policy(USUAL[kind], Version=None), kind).knows_variables


def test_managed_policies_have_the_current_version() -> None:
    earlier = policy(USUAL[Kind.IDENTITY], Version="2008-10-17")
    assert "version 2012-10-17 or greater" in refusal(earlier, Kind.BOUNDARY)
    inline = parse(earlier, Kind.IDENTITY)
    with pytest.raises(CloudError, match="version 2012-10-17 or greater"):
        check_managed_policy(inline)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("", 0),
        ('{ "a" :\n\t[ 1, 2 ] }', len('{"a":[1,2]}')),
        ('{"Sid": "with two spaces"}', len('{"Sid":"with two spaces"}')),
        (r'{"a": "quoted \" and b" }', len(r'{"a":"quoted \" and b"}')),
    ],
)
def test_white_space_counts_in_texts_only(text: str, counted: int) -> None:
    assert size(text) == counted


def of_size(wanted: int, kind: Kind) -> Document:
    """Return a policy of a size, which has white space besides."""

    def text(padding: int) -> str:
        return json.dumps(json.loads(policy(USUAL[kind], Id="i" * padding)), indent=4)

    read = parse(text(wanted - size(text(0))), kind)
    assert read.size == wanted
    return read


def test_sizes_are_bounded() -> None:
    check_managed_policy(of_size(6144, Kind.IDENTITY))
    with pytest.raises(CloudError, match="LimitExceeded: Cannot exceed quota for PolicySize: 6144"):
        check_managed_policy(of_size(6145, Kind.IDENTITY))
    check_trust_policy(of_size(2048, Kind.TRUST))
    with pytest.raises(CloudError, match="LimitExceeded: Cannot exceed quota for ACLSizePerRole: 2048"):
        check_trust_policy(of_size(2049, Kind.TRUST))
    half = of_size(5120, Kind.IDENTITY)
    check_inline_policies([half, half], "R")
    with pytest.raises(CloudError, match="Maximum policy size of 10240 bytes exceeded for role R"):
        check_inline_policies([half, of_size(5121, Kind.IDENTITY)], "R")
