"""Stacks of the simulated CloudFormation: what it makes, and what it refuses as CloudFormation does."""

from typing import Any

import pytest

from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Request
from beta9_simulator.cloud.services.stacks import HANDLERS
from beta9_simulator.cloud.store import Store

ACCOUNT = "123456789012"
ROOT = Principal("", "", "", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, None, "")
TEMPLATE = """
Parameters:
  Path: {Type: String, Default: /, AllowedPattern: "/([a-z]+/)*"}
  Bound: {Type: String, Default: ""}
Conditions:
  IsBound: !Not [!Equals [!Ref Bound, ""]]
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: it
      Path: !Ref Path
      PermissionsBoundary: !If [IsBound, !Ref Bound, !Ref AWS::NoValue]
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: {Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Action: sts:AssumeRole}
      ManagedPolicyArns: [!Ref Policy]
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      ManagedPolicyName: may
      PolicyDocument:
        Version: "2012-10-17"
        Statement: {Effect: Allow, Action: s3:GetObject, Resource: !Sub "arn:aws:s3:::a${Path}*"}
Outputs:
  Arn: {Value: !GetAtt Role.Arn}
"""


def call(store: Store, operation: str, **params: Any) -> dict[str, Any]:
    answer = HANDLERS[operation](Request(store, ROOT, "us-east-1", {"StackName": "it", **params}))
    assert answer is not None
    return answer


def create(
    store: Store, template: str = TEMPLATE, given: dict[str, str] | None = None, *, named: bool = True
) -> dict[str, Any]:
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in (given or {}).items()]
    capabilities = ["CAPABILITY_NAMED_IAM"] if named else []
    call(store, "CreateStack", TemplateBody=template, Parameters=parameters, Capabilities=capabilities)
    stack: dict[str, Any] = call(store, "DescribeStacks")["Stacks"][0]
    return stack


def test_what_is_named_is_made_first_and_goes_last(store: Store) -> None:
    stack = create(store, given={"Path": "/teams/"})
    assert stack["Outputs"] == [{"OutputKey": "Arn", "OutputValue": f"arn:aws:iam::{ACCOUNT}:role/teams/it"}]
    assert "simulated" in stack["StackStatusReason"]
    (policy,) = store.find("aws_iam_policy", account=ACCOUNT)
    assert "arn:aws:s3:::a/teams/*" in policy.state["policy"]
    call(store, "DeleteStack")
    assert store.find(account=ACCOUNT) == []
    with pytest.raises(CloudError, match="does not exist"):
        call(store, "DescribeStacks")


def test_what_iam_refuses_is_rolled_back(store: Store) -> None:
    stack = create(store, given={"Bound": f"arn:aws:iam::{ACCOUNT}:policy/none"})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "does not exist or is not attachable" in stack["StackStatusReason"]
    assert store.find(account=ACCOUNT) == []


@pytest.mark.parametrize(
    ("template", "given", "words"),
    [
        (TEMPLATE, {"Path": "/A/"}, "Parameter Path failed to satisfy constraint"),
        (TEMPLATE, {"Other": "1"}, "do not exist in the template"),
        (TEMPLATE.replace("Default: /,", ""), {}, "must have values"),
        ("Resources: {}", {}, "At least one Resources member"),
        ("a: [", {}, "YAML not well-formed"),
    ],
)
def test_what_cannot_be_a_stack_is_refused(
    store: Store, template: str, given: dict[str, str], words: str
) -> None:
    with pytest.raises(CloudError, match=words):
        create(store, template, given)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "Unrecognized resource types"),
        ("ManagedPolicyName: may", "ManagedPolicyName: !Join [a]", "does not know Fn::Join"),
        ("RoleName: it", "RoleName: it\n      Tags: []", "unsupported property Tags"),
        ("ManagedPolicyName: may", "ManagedPolicyName: !Ref Role", "Circular dependency"),
    ],
)
def test_what_is_not_known_is_not_passed_over(store: Store, before: str, after: str, words: str) -> None:
    stack = create(store, TEMPLATE.replace(before, after))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert words in stack["StackStatusReason"]


def test_names_have_to_be_acknowledged_and_are_taken_once(store: Store) -> None:
    with pytest.raises(CloudError, match="CAPABILITY_NAMED_IAM"):
        create(store, named=False)
    create(store)
    with pytest.raises(CloudError, match="already exists"):
        create(store)
