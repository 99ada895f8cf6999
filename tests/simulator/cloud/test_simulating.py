"""What the simulated IAM answers about a role, compared with what AWS was recorded to answer.

The policies and answers are those of https://github.com/radkawar/stackd, `testdata/aws/iam/simulation.json`.
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.simulator.cloud.authorization.test_gate import allow, bound
from tests.simulator.cloud.test_api import Door, code

from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.seeding import Seeded, seed
from beta9_simulator.cloud.services.simulating import UNKNOWN
from beta9_simulator.cloud.store import Store

GET = "s3:GetObject"
A, B = "arn:aws:s3:::records/a", "arn:aws:s3:::records/b"
SESSION = "arn:aws:sts::123456789012:assumed-role/a/b"
# As wide as the recorded one, whose positions are told.
READ = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}'
ON_A = READ.replace('"*"', f'"{A}"')
IF_YES: dict[str, Any] = {"Condition": {"StringEquals": {"team:missing": "yes"}}}


class Simulator:
    """A role with policies, and IAM that is asked about it."""

    def __init__(self, api: AwsApi, store: Store, **policies: Any) -> None:
        self.seeded: Seeded = seed(store, policies=policies)
        self._store = store
        who = Door(api, self.seeded.access_key, self.seeded.secret_key).assume(self.seeded)
        self._iam = who.client("iam")

    def write(self, name: str, text: str) -> None:
        """Give a policy these very words."""
        (policy,) = self._store.find("aws_iam_policy", name=name)
        self._store.edit(policy, policy=text)

    def ask(self, *actions: str, on: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
        wanted = {"PolicySourceArn": self.seeded.role_arn, "ActionNames": list(actions or (GET,)), **more}
        if on:
            wanted["ResourceArns"] = list(on)
        answer: dict[str, Any] = self._iam.simulate_principal_policy(**wanted)
        del answer["ResponseMetadata"]
        return answer

    def one(self, *actions: str, **more: Any) -> dict[str, Any]:
        [result] = self.ask(*actions, **more)["EvaluationResults"]
        return dict(result)

    def refused(self, **more: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            self.ask(**more)
        return code(caught), caught.value.response["Error"]["Message"]


def simulator(api: AwsApi, store: Store, read: Any = READ, **policies: Any) -> Simulator:
    asks = {"Asks": allow("iam:SimulatePrincipalPolicy")}
    made = Simulator(api, store, **asks, **policies, Read=json.loads(read))
    made.write("Read", read)
    return made


def test_without_a_resource_the_whole_is_told(api: AwsApi, store: Store) -> None:
    assert simulator(api, store).ask() == {
        "EvaluationResults": [
            {
                "EvalActionName": GET,
                "EvalResourceName": "*",
                "EvalDecision": "allowed",
                "MatchedStatements": [
                    {
                        "SourcePolicyId": "Read",
                        "SourcePolicyType": "IAM Policy",
                        "StartPosition": {"Line": 1, "Column": 38},
                        "EndPosition": {"Line": 1, "Column": 95},
                    }
                ],
                "MissingContextValues": [],
            }
        ],
        "IsTruncated": False,
    }


def test_each_resource_is_told_and_the_strictest_is_the_whole(api: AwsApi, store: Store) -> None:
    told = simulator(api, store, ON_A).one(on=(A, B))
    assert (told["EvalDecision"], told["MissingContextValues"]) == ("implicitDeny", [])
    assert told["EvalResourceName"] == "arn:${Partition}:s3:::${BucketName}/${ObjectName}"
    [matched] = told["MatchedStatements"]
    assert told["EvalDecisionDetails"] == {}
    assert told["ResourceSpecificResults"] == [
        {"EvalResourceName": A, "EvalResourceDecision": "allowed", "MatchedStatements": [matched]},
        {"EvalResourceName": B, "EvalResourceDecision": "implicitDeny"},
    ]
    assert simulator(api, store, ON_A).one(on=(B,))["EvalResourceName"] == B


def test_a_resource_of_another_type_is_never_allowed(api: AwsApi, store: Store) -> None:
    """Not even by a policy that allows everything: so AWS does, and whoever asks has to know."""
    everything = simulator(api, store, json.dumps(allow("*")))
    assert everything.one(on=("arn:aws:iam::123456789012:user/fictional",))["EvalDecision"] == "implicitDeny"
    assert everything.one("ec2:DescribeInstances", on=(A,))["EvalDecision"] == "implicitDeny"
    assert everything.one("ec2:DescribeInstances")["EvalDecision"] == "allowed"
    # Buckets and objects are one to it.
    assert everything.one("s3:ListBucket", on=(A,))["EvalDecision"] == "allowed"


def test_keys_that_were_not_given_are_told_whatever_action_they_are_about(api: AwsApi, store: Store) -> None:
    role = simulator(api, store, ON_A, Other=allow("s3:PutObject", **IF_YES))
    told = role.one(on=(A, B))
    assert told["MissingContextValues"] == ["team:missing"]
    allowed, denied = told["ResourceSpecificResults"]
    assert "MissingContextValues" not in allowed
    assert denied["MissingContextValues"] == ["team:missing"]
    given = {"ContextKeyName": "team:missing", "ContextKeyType": "string", "ContextKeyValues": ["yes"]}
    assert role.one("s3:PutObject", ContextEntries=[given])["EvalDecision"] == "allowed"
    assert role.one("s3:PutObject")["EvalDecision"] == "implicitDeny"


@pytest.mark.parametrize(
    ("limit", "decision", "types"),
    [
        (("Allow", "s3:GetObject"), "allowed", ["IAM Policy"]),
        (("Allow", "s3:PutObject"), "implicitDeny", []),
        (("Deny", "s3:GetObject"), "explicitDeny", ["Permissions Boundary Policy"]),
    ],
)
def test_the_boundary_tells_its_part(
    api: AwsApi, store: Store, limit: tuple[str, str], decision: str, types: list[str]
) -> None:
    role = simulator(api, store)
    effect, action = limit
    limits = [allow(action)["Statement"][0] | {"Effect": effect}, *allow("iam:*")["Statement"]]
    bound(store, role.seeded, {"Version": "2012-10-17", "Statement": limits})
    told = role.one(on=(A,))
    assert told["EvalDecision"] == decision
    assert [one["SourcePolicyType"] for one in told["MatchedStatements"]] == types
    for part in (told, *told["ResourceSpecificResults"]):
        is_within = part["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"]
        assert is_within == (decision == "allowed")


def test_policies_of_the_request_come_to_those_of_the_role(api: AwsApi, store: Store) -> None:
    """A boundary of the request takes the place of the role's."""
    role = simulator(api, store)
    bound(store, role.seeded, allow("iam:*"))
    more = {"PolicyInputList": [json.dumps(allow("s3:PutObject"))]}
    limits = {"PermissionsBoundaryPolicyInputList": [json.dumps(allow("s3:PutObject"))]}
    assert role.one("s3:PutObject", **more)["EvalDecision"] == "implicitDeny"
    told = role.one("s3:PutObject", **more, **limits)
    assert [one["SourcePolicyId"] for one in told["MatchedStatements"]] == ["PolicyInputList.1"]
    assert role.one(**limits)["EvalDecision"] == "implicitDeny"
    assert role.refused(PolicyInputList=["{"])[1] == "Policy input list item 1 has invalid content"


def test_what_it_does_not_know_it_takes_by_the_letter_and_apart(api: AwsApi, store: Store) -> None:
    role = simulator(api, store, json.dumps(allow("s3:*")))
    assert role.one("s3:MadeUp", on=(A,))["EvalDecision"] == "allowed"
    assert [one["EvalDecision"] for one in role.ask(GET, "s3:MadeUp")["EvaluationResults"]] == ["allowed"] * 2
    store.set_setting(UNKNOWN, "s3:PutObject")
    refusal = role.refused(ActionNames=[GET, "s3:PutObject"], on=(A,))
    groups = "[s3:GetObject] and [s3:PutObject]"
    assert refusal == (
        "InvalidInput",
        f"Invalid Input Actions: {groups} require different authorization information.",
    )


def test_pages_go_by_actions(api: AwsApi, store: Store) -> None:
    role = simulator(api, store)
    actions = ("s3:PutObject", "iam:GetRole", GET)
    first = role.ask(*actions, on=(A, B), MaxItems=1)
    assert ([one["EvalActionName"] for one in first["EvaluationResults"]], first["IsTruncated"]) == (
        ["s3:PutObject"],
        True,
    )
    rest = role.ask(*actions, on=(A, B), Marker=first["Marker"])
    assert [one["EvalActionName"] for one in rest["EvaluationResults"]] == ["iam:GetRole", GET]
    assert (rest["IsTruncated"], "Marker" in rest) == (False, False)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"ActionNames": ["GetObject"]}, "The action is invalid since it is missing names"),
        ({"on": ("not-an-arn",)}, "ResourceNames are not in a valid ARN format: not-an-arn."),
        ({"on": ("arn:aws:s3",)}, "ResourceNames are not in a valid ARN format: arn:aws:s3."),
        ({"on": ("*", A)}, "ResourceNames are not in a valid ARN format: *."),
        ({"Marker": "not-a-simulation-marker"}, "Invalid marker for pagination."),
        (
            {"PolicySourceArn": SESSION},
            f"Invalid Entity Arn: {SESSION} does not clearly define entity type and name.",
        ),
    ],
)
def test_what_it_refuses(api: AwsApi, store: Store, asked: dict[str, Any], said: str) -> None:
    assert simulator(api, store).refused(**asked) == ("InvalidInput", said)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (("string", ["a", "b"]), "Context key string expected a single value, but received 2."),
        (("stringList", []), "Context values for context key team:test cannot be null or empty."),
    ],
)
def test_context_that_it_refuses(api: AwsApi, store: Store, entry: tuple[str, list[str]], said: str) -> None:
    told = {"ContextKeyName": "team:test", "ContextKeyType": entry[0], "ContextKeyValues": entry[1]}
    role = simulator(api, store)
    assert role.refused(ContextEntries=[told]) == ("InvalidInput", said)
    one = {"ContextKeyName": "team:test", "ContextKeyType": "string", "ContextKeyValues": ["a"]}
    twice = [one, one | {"ContextKeyName": "TEAM:TEST"}]
    assert role.refused(ContextEntries=twice) == ("InvalidInput", "Duplicate context key: TEAM:TEST.")


def test_a_role_of_another_account(api: AwsApi, store: Store) -> None:
    refusal = Simulator(api, store).refused(PolicySourceArn="arn:aws:iam::210987654321:role/a")
    assert refusal[0] == "InvalidInput"
    assert "does not have access to policies in account 210987654321" in refusal[1]


def test_a_role_that_is_not_there(api: AwsApi, store: Store) -> None:
    role = simulator(api, store)
    nobody = f"arn:aws:iam::{role.seeded.account}:role/nobody"
    assert role.refused(PolicySourceArn=nobody)[0] == "NoSuchEntity"


def test_it_may_be_asked_by_whom_a_policy_allows_it(api: AwsApi, store: Store) -> None:
    role = Simulator(api, store, Itself=allow("iam:SimulatePrincipalPolicy", on="arn:aws:iam::*:role/Other"))
    assert role.refused()[0] == "AccessDenied"


def test_places_in_a_text_of_several_lines(api: AwsApi, store: Store) -> None:
    lines = json.dumps(json.loads(READ)["Statement"][0], indent=2)
    role = simulator(api, store, '{\n  "Version": "2012-10-17",\n  "Statement": [\n' + lines + "\n]}")
    [matched] = role.one()["MatchedStatements"]
    assert (matched["StartPosition"], matched["EndPosition"]) == (
        {"Line": 4, "Column": 1},
        {"Line": 8, "Column": 2},
    )
