"""What policies decide together: whose grant suffices, what limits it, and what AWS says of a denial."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beta9_simulator.cloud.iam.conditions import UnknownConditionKey
from beta9_simulator.cloud.iam.documents import Document, Kind, parse
from beta9_simulator.cloud.iam.evaluation import Asked, Caller, Decision, Held, decide, matches_role

ACCOUNT, OTHER = "111111111111", "222222222222"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/Role"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/Role/one"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/team/ann"
SESSION = Caller(SESSION_ARN, ACCOUNT, ROLE)
USER = Caller(USER_ARN, ACCOUNT)
ROOT_USER = Caller(ROOT, ACCOUNT)
SERVICE = Caller("", "", service="logs.amazonaws.com")
QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:queue"
FAR = f"arn:aws:sqs:eu-west-1:{OTHER}:queue"
SEND = "sqs:SendMessage"


def document(kind: Kind, *statements: dict[str, Any], version: str = "2012-10-17") -> Document:
    usual: dict[str, Any] = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    if kind is Kind.TRUST:
        usual = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    written = [{**usual, **statement} for statement in statements]
    for statement in written:
        for element in ("Action", "Resource"):
            if f"Not{element}" in statement:
                del statement[element]
    return parse(json.dumps({"Version": version, "Statement": written}), kind)


def identity(**statement: Any) -> Document:
    return document(Kind.IDENTITY, statement)


def resource(principal: Any, **statement: Any) -> Document:
    return document(Kind.RESOURCE, {"Principal": principal, **statement})


ALL = identity()
NOTHING = identity(Action="s3:*")
BOUNDARY = document(Kind.BOUNDARY, {})
NO_BOUNDARY = document(Kind.BOUNDARY, {"Action": "s3:*"})
NO_SESSION = (document(Kind.SESSION, {"Action": "s3:*"}),)
TO_ACCOUNT = resource({"AWS": ROOT})
TO_ROLE = resource({"AWS": ROLE})
TO_SESSION = resource({"AWS": SESSION_ARN})
TO_USER = resource({"AWS": USER_ARN})
TO_ALL = resource("*")
TO_OTHER = resource({"AWS": f"arn:aws:iam::{ACCOUNT}:role/Another"})


def because_no(policy: str, action: str = SEND) -> Decision:
    return Decision(False, f"because no {policy} allows the {action} action")


IDENTITY_LACKS = because_no("identity-based policy")
BOUNDARY_LACKS = because_no("permissions boundary")
SESSION_LACKS = because_no("session policy")
RESOURCE_LACKS = because_no("resource-based policy")
YES = Decision(True)


@pytest.mark.parametrize(
    ("caller", "held", "expected"),
    [
        (SESSION, Held(), IDENTITY_LACKS),
        (SESSION, Held((NOTHING,)), IDENTITY_LACKS),
        (SESSION, Held((NOTHING, ALL)), YES),
        (SESSION, Held((ALL,), BOUNDARY), YES),
        (SESSION, Held((), BOUNDARY), IDENTITY_LACKS),
        (SESSION, Held((ALL,), NO_BOUNDARY), BOUNDARY_LACKS),
        (SESSION, Held((ALL,), None, NO_SESSION), SESSION_LACKS),
        (SESSION, Held((ALL,), None, ()), SESSION_LACKS),
        (SESSION, Held((ALL,), None, (*NO_SESSION, document(Kind.SESSION, {}))), YES),
        (SESSION, Held((), None, (document(Kind.SESSION, {}),)), IDENTITY_LACKS),
        (ROOT_USER, Held(), YES),
        # "Policy evaluation logic": the table of implicit denies and resource-based policies.
        (SESSION, Held((), NO_BOUNDARY, NO_SESSION, TO_SESSION), YES),
        (SESSION, Held((), NO_BOUNDARY, NO_SESSION, TO_ALL), YES),
        (SESSION, Held((), None, None, TO_ROLE), YES),
        (SESSION, Held((), NO_BOUNDARY, None, TO_ROLE), BOUNDARY_LACKS),
        (SESSION, Held((), None, NO_SESSION, TO_ROLE), SESSION_LACKS),
        (SESSION, Held((), None, None, TO_ACCOUNT), IDENTITY_LACKS),
        (SESSION, Held((ALL,), None, None, TO_ACCOUNT), YES),
        (SESSION, Held((), None, None, resource({"AWS": ACCOUNT})), IDENTITY_LACKS),
        (SESSION, Held((), None, None, TO_OTHER), IDENTITY_LACKS),
        (SESSION, Held((ALL,), None, None, TO_OTHER), YES),
        (USER, Held((), NO_BOUNDARY, None, TO_USER), YES),
        (USER, Held((), None, None, TO_ROLE), IDENTITY_LACKS),
        # Keys of KMS: identity-based policies count only when the key's policy lets the account in.
        (SESSION, Held((ALL,), None, None, TO_OTHER, must_be_in_resource=True), RESOURCE_LACKS),
        (SESSION, Held((ALL,), must_be_in_resource=True), RESOURCE_LACKS),
        (SESSION, Held((ALL,), None, None, TO_ACCOUNT, must_be_in_resource=True), YES),
        (SESSION, Held((), None, None, TO_ACCOUNT, must_be_in_resource=True), IDENTITY_LACKS),
        (SESSION, Held((), None, None, TO_ROLE, must_be_in_resource=True), YES),
        (SERVICE, Held(), RESOURCE_LACKS),
        (SERVICE, Held((), None, None, resource({"Service": "logs.amazonaws.com"})), YES),
        (SERVICE, Held((), None, None, resource({"Service": "sns.amazonaws.com"})), RESOURCE_LACKS),
    ],
)
def test_within_one_account(caller: Caller, held: Held, expected: Decision) -> None:
    assert decide(Asked(SEND, QUEUE), caller, held) == expected


@pytest.mark.parametrize(
    ("caller", "held", "expected"),
    [
        (SESSION, Held((ALL,), None, None, TO_ACCOUNT), YES),
        (SESSION, Held((ALL,), None, None, TO_ROLE), YES),
        (SESSION, Held((ALL,), None, None, TO_SESSION), YES),
        (SESSION, Held((ALL,)), RESOURCE_LACKS),
        (SESSION, Held((ALL,), None, None, TO_OTHER), RESOURCE_LACKS),
        (SESSION, Held((), None, None, TO_ROLE), IDENTITY_LACKS),
        (SESSION, Held((), None, None, TO_SESSION), IDENTITY_LACKS),
        (SESSION, Held((ALL,), NO_BOUNDARY, None, TO_SESSION), BOUNDARY_LACKS),
        (SESSION, Held((ALL,), None, NO_SESSION, TO_SESSION), SESSION_LACKS),
        (USER, Held((ALL,), None, None, TO_USER), YES),
        (USER, Held((), None, None, TO_USER), IDENTITY_LACKS),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [Asked(SEND, FAR), Asked(SEND, "arn:aws:s3:::b", {"AWS:ResourceAccount": OTHER})],
    ids=["arn", "key"],
)
def test_across_accounts(asked: Asked, caller: Caller, held: Held, expected: Decision) -> None:
    assert decide(asked, caller, held) == expected


DENY = {"Effect": "Deny"}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"identity": (ALL, identity(**DENY))}, "an identity-based policy"),
        ({"boundary": document(Kind.BOUNDARY, {}, DENY)}, "a permissions boundary"),
        ({"session": (document(Kind.SESSION, {}, DENY),)}, "a session policy"),
        (
            {"resource": document(Kind.RESOURCE, {"Principal": "*"}, {"Principal": "*", **DENY})},
            "a resource-based policy",
        ),
    ],
)
@pytest.mark.parametrize("caller", [SESSION, ROOT_USER])
def test_an_explicit_deny_wins(caller: Caller, changes: dict[str, Any], place: str) -> None:
    held = Held(**{"identity": (ALL,), "resource": TO_ALL, **changes})
    assert decide(Asked(SEND, QUEUE), caller, held) == Decision(False, f"with an explicit deny in {place}")


@pytest.mark.parametrize(
    ("principal", "is_denied"),
    [
        ({"AWS": ROOT}, True),
        ({"AWS": ROLE}, True),
        ({"AWS": SESSION_ARN}, True),
        ({"AWS": USER_ARN}, False),
        ({"Service": "logs.amazonaws.com"}, False),
    ],
)
def test_whom_a_resource_s_policy_denies(principal: Any, is_denied: bool) -> None:
    held = Held((ALL,), resource=resource(principal, **DENY))
    assert decide(Asked(SEND, QUEUE), SESSION, held).is_allowed is not is_denied


@pytest.mark.parametrize(
    ("names", "boundary", "is_denied"),
    [
        ([ROOT, ROLE, SESSION_ARN], None, False),
        ([ACCOUNT, ROLE, SESSION_ARN], None, False),
        ([ROLE, SESSION_ARN], None, True),
        ([ROOT, SESSION_ARN], None, True),
        ([ROOT, ROLE], None, True),
        ([USER_ARN], None, True),
        # "The NotPrincipal element with a Deny effect will always deny" whoever has a boundary.
        ([ROOT, ROLE, SESSION_ARN], BOUNDARY, True),
    ],
)
def test_whom_a_deny_with_exceptions_spares(
    names: list[str], boundary: Document | None, is_denied: bool
) -> None:
    statement = {"NotPrincipal": {"AWS": names}, **DENY}
    held = Held((ALL,), boundary, resource=document(Kind.RESOURCE, statement))
    assert decide(Asked(SEND, QUEUE), SESSION, held).is_allowed is not is_denied


@pytest.mark.parametrize(("names", "is_allowed"), [([USER_ARN], True), ([ROLE], False), ([ROOT], False)])
def test_whom_an_allow_with_exceptions_lets_in(names: list[str], is_allowed: bool) -> None:
    statement = {"NotPrincipal": {"AWS": names}}
    held = Held(resource=document(Kind.RESOURCE, statement))
    assert decide(Asked(SEND, QUEUE), SESSION, held).is_allowed is is_allowed


@pytest.mark.parametrize(
    ("statement", "action", "expected"),
    [
        ({"Action": "ec2:CreateVpc"}, "ec2:CreateVpc", True),
        ({"Action": "EC2:createvpc"}, "ec2:CreateVpc", True),
        ({"Action": "ec2:Create*"}, "ec2:CreateVpc", True),
        ({"Action": "ec2:*Vpc"}, "ec2:CreateVpc", True),
        ({"Action": "ec2:CreateVp?"}, "ec2:CreateVpc", True),
        ({"Action": "ec2:CreateVpc?"}, "ec2:CreateVpc", False),
        ({"Action": "ec2:Create"}, "ec2:CreateVpc", False),
        ({"Action": ["s3:*", "ec2:*"]}, "ec2:CreateVpc", True),
        ({"Action": "*"}, "ec2:CreateVpc", True),
        ({"Action": "s3:*"}, "ec2:CreateVpc", False),
        ({"NotAction": "s3:*"}, "ec2:CreateVpc", True),
        ({"NotAction": ["s3:*", "ec2:createvpc"]}, "ec2:CreateVpc", False),
    ],
)
def test_actions(statement: dict[str, Any], action: str, expected: bool) -> None:
    assert decide(Asked(action, "*"), USER, Held((identity(**statement),))).is_allowed is expected


@pytest.mark.parametrize(
    ("wanted", "asked", "expected"),
    [
        ("*", "*", True),
        ("arn:aws:s3:::*", "*", False),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b/a/c:d", True),
        ("arn:aws:s3:::b/*.txt", "arn:aws:s3:::b/a:b.txt", True),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b", False),
        ("arn:aws:s3:::b", "arn:aws:s3:::B", False),
        ("arn:aws:s3:::b?", "arn:aws:s3:::bc", True),
        ("arn:aws:s3:::b.c", "arn:aws:s3:::bxc", False),
        ("arn:aws:ec2:*:1:vpc/*", "arn:aws:ec2:eu-west-1:1:vpc/vpc-1", True),
        ("arn:aws:ec2:*:1:vpc/*", "arn:aws:ec2:eu-west-1:2:vpc/vpc-1", False),
        ("arn:aws:ec2:eu-*-1:1:vpc/*", "arn:aws:ec2:eu-west-1:1:vpc/vpc-1", True),
        ("arn:aws:ec2:*", "arn:aws:ec2:eu-west-1:1:vpc/vpc-1", True),
        ("arn:aws:ec2:eu*", "arn:aws:ec2:eu-west-1:1:vpc/vpc-1", True),
        # An asterisk at the end of a part goes beyond colons, another one does not.
        ("arn:aws:logs:*:log-group:a:b", "arn:aws:logs:eu-west-1:1:log-group:a:b", True),
        ("arn:aws:logs:e*1:log-group:a:b", "arn:aws:logs:eu-west-1:1:log-group:a:b", False),
        ("arn:aws:logs:eu-west-1:?:log-group:a", "arn:aws:logs:eu-west-1:1:log-group:a", True),
        ("arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/ann/x", True),
        ("arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/bob/x", False),
        ("arn:aws:s3:::b/${*}", "arn:aws:s3:::b/x", False),
    ],
)
def test_resources(wanted: str, asked: str, expected: bool) -> None:
    def allowed(**statement: Any) -> bool:
        context = {"aws:ResourceAccount": ACCOUNT}
        return decide(
            Asked("s3:X", asked, context), USER, Held((identity(Action="*", **statement),))
        ).is_allowed

    assert allowed(Resource=wanted) is expected
    assert allowed(NotResource=wanted) is not expected


def test_resources_that_cannot_be_resolved_make_a_statement_invalid() -> None:
    unresolved = "arn:aws:s3:::b/${aws:PrincipalTag/none}/*"
    for element in ("Resource", "NotResource"):
        held = Held((identity(Action="s3:*", **{element: unresolved}),))
        assert not decide(Asked("s3:GetObject", "arn:aws:s3:::b//x"), USER, held).is_allowed
    held = Held((identity(Action="s3:*", Resource=[unresolved, "arn:aws:s3:::b//x"]),))
    assert decide(Asked("s3:GetObject", "arn:aws:s3:::b//x"), USER, held).is_allowed


def test_variables_are_texts_in_earlier_versions() -> None:
    statement = {"Action": "s3:*", "Resource": "arn:aws:s3:::b/${aws:username}"}
    held = Held((document(Kind.IDENTITY, statement, version="2008-10-17"),))
    assert not decide(Asked("s3:GetObject", "arn:aws:s3:::b/ann"), USER, held).is_allowed
    assert decide(Asked("s3:GetObject", "arn:aws:s3:::b/${aws:username}"), USER, held).is_allowed


@pytest.mark.parametrize(
    ("caller", "condition", "expected"),
    [
        (SESSION, {"ArnEquals": {"aws:PrincipalArn": ROLE}}, True),
        (SESSION, {"ArnEquals": {"aws:PrincipalArn": SESSION_ARN}}, False),
        (USER, {"ArnEquals": {"aws:PrincipalArn": USER_ARN}}, True),
        (USER, {"StringEquals": {"aws:username": "ann"}}, True),
        (SESSION, {"Null": {"aws:username": "true"}}, True),
        (SESSION, {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}, True),
        (SESSION, {"StringEquals": {"aws:PrincipalType": "AssumedRole"}}, True),
        (USER, {"StringEquals": {"aws:PrincipalType": "User"}}, True),
        (USER, {"StringEquals": {"aws:RequestTag/Owner": "ann"}}, True),
        (USER, {"StringEquals": {"aws:RequestTag/Owner": "${aws:username}"}}, True),
        (USER, {"StringEquals": {"aws:RequestTag/Other": "ann"}}, False),
        (USER, {"Bool": {"aws:SecureTransport": "true"}}, True),
    ],
)
def test_conditions(caller: Caller, condition: dict[str, Any], expected: bool) -> None:
    context = {"aws:RequestTag/Owner": "ann", "AWS:SecureTransport": "true"}
    asked = Asked(SEND, QUEUE, context, frozenset({"aws:RequestTag/"}))
    assert decide(asked, caller, Held((identity(Condition=condition),))).is_allowed is expected


def test_unknown_keys_are_loud_where_a_statement_would_apply() -> None:
    unknown = {"Condition": {"StringEquals": {"sqs:Kee": "a"}}}
    for effect in ("Allow", "Deny"):
        held = Held((identity(Effect=effect, **unknown),))
        with pytest.raises(UnknownConditionKey, match="sqs:Kee is no known condition key of sqs:SendMessage"):
            decide(Asked(SEND, QUEUE), USER, held)
        assert decide(Asked("s3:GetObject", "*"), USER, held).why
        assert decide(Asked(SEND, QUEUE, known=frozenset({"SQS:kee"})), USER, held).why


WEB = Caller("", "", provider="arn:aws:iam::1:oidc-provider/host/id/1")


@pytest.mark.parametrize(
    ("statement", "caller", "action", "expected"),
    [
        ({"Principal": {"AWS": ROOT}}, SESSION, "sts:AssumeRole", True),
        ({"Principal": {"AWS": ROLE}}, SESSION, "sts:AssumeRole", True),
        ({"Principal": {"AWS": SESSION_ARN}}, SESSION, "sts:AssumeRole", True),
        ({"Principal": {"AWS": USER_ARN}}, SESSION, "sts:AssumeRole", False),
        ({"Principal": {"Service": "logs.amazonaws.com"}}, SERVICE, "sts:AssumeRole", True),
        ({"Principal": {"Service": "eks.amazonaws.com"}}, SERVICE, "sts:AssumeRole", False),
        ({"Principal": {"AWS": "*"}}, SESSION, "sts:TagSession", False),
        ({"Principal": {"AWS": "*"}, "Action": "sts:TagSession"}, SESSION, "sts:TagSession", True),
        (
            {"Principal": {"Federated": WEB.provider}, "Action": "sts:AssumeRoleWithWebIdentity"},
            WEB,
            "web",
            True,
        ),
        ({"Principal": {"Federated": WEB.provider + "2"}, "Action": "sts:*"}, WEB, "web", False),
        ({"Principal": {"Federated": WEB.provider}}, WEB, "web", False),
    ],
)
def test_trust_policies(statement: dict[str, Any], caller: Caller, action: str, expected: bool) -> None:
    action = "sts:AssumeRoleWithWebIdentity" if action == "web" else action
    found = matches_role(document(Kind.TRUST, statement), Asked(action, "*"), caller)
    lacks = Decision(False, f"because no role trust policy allows the {action} action")
    assert found == (YES if expected else lacks)


@pytest.mark.parametrize(("pod", "expected"), [("a:b", True), ("a:c", False)])
def test_trust_in_one_pod(pod: str, expected: bool) -> None:
    statement = {
        "Principal": {"Federated": WEB.provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"host/id/1:sub": "a:b", "host/id/1:aud": "sts.amazonaws.com"}},
    }
    context = {"host/id/1:sub": pod, "host/id/1:aud": "sts.amazonaws.com"}
    asked = Asked("sts:AssumeRoleWithWebIdentity", "*", context)
    assert matches_role(document(Kind.TRUST, statement), asked, WEB).is_allowed is expected


def test_a_trust_policy_denies() -> None:
    trust = document(Kind.TRUST, {"Principal": "*"}, {"Principal": {"AWS": ROLE}, **DENY})
    denied = Decision(False, "with an explicit deny in the role trust policy")
    assert matches_role(trust, Asked("sts:AssumeRole", "*"), SESSION) == denied
    assert matches_role(trust, Asked("sts:AssumeRole", "*"), USER) == YES


STATEMENTS = st.fixed_dictionaries(
    {
        "Action": st.sampled_from(["*", "sqs:*", SEND, "s3:*"]),
        "Resource": st.sampled_from(["*", QUEUE, "arn:aws:s3:::b"]),
        "Condition": st.sampled_from(
            [{}, {"Null": {"aws:username": "true"}}, {"Null": {"aws:username": "false"}}]
        ),
    }
)
PRINCIPALS = st.sampled_from(["*", *({"AWS": name} for name in (ROOT, ROLE, SESSION_ARN, USER_ARN))])
CALLERS = st.sampled_from([SESSION, USER])
ASKED = st.sampled_from([Asked(SEND, QUEUE), Asked(SEND, FAR)])


@st.composite
def statements(draw: st.DrawFn, kind: Kind, effect: str | None = None) -> dict[str, Any]:
    made = draw(STATEMENTS) | {"Effect": effect or draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    return made | ({"Principal": draw(PRINCIPALS)} if kind is Kind.RESOURCE else {})


Written = dict[Kind, list[dict[str, Any]]]
KINDS = [Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION, Kind.RESOURCE]
# The kinds of policies that are there, each with its statements.
WRITTEN = st.fixed_dictionaries(
    {}, optional={kind: st.lists(statements(kind), min_size=1, max_size=3) for kind in KINDS}
)


def held(written: Written) -> Held:
    made = {kind: document(kind, *found) for kind, found in written.items()}
    return Held(
        identity=(made[Kind.IDENTITY],) if Kind.IDENTITY in made else (),
        boundary=made.get(Kind.BOUNDARY),
        session=(made[Kind.SESSION],) if Kind.SESSION in made else None,
        resource=made.get(Kind.RESOURCE),
    )


@settings(deadline=None)
@given(data=st.data(), written=WRITTEN, caller=CALLERS, asked=ASKED)
def test_one_more_statement(data: st.DataObject, written: Written, caller: Caller, asked: Asked) -> None:
    """An allow takes nothing away, a deny gives nothing, and a deny that applies wins."""
    kind = data.draw(st.sampled_from([kind for kind in KINDS if kind in written] or [Kind.IDENTITY]))
    before = decide(asked, caller, held(written)).is_allowed

    def with_one(statement: dict[str, Any]) -> bool:
        more = {**written, kind: [*written.get(kind, []), statement]}
        return decide(asked, caller, held(more)).is_allowed

    assert with_one(data.draw(statements(kind, "Allow"))) >= before
    assert with_one(data.draw(statements(kind, "Deny"))) <= before
    everything = {"Effect": "Deny", "Action": "*"}
    assert not with_one({**everything, "Principal": "*"} if kind is Kind.RESOURCE else everything)
