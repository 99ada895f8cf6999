"""What Terraform's provider needs for each type: complete, and as the services ask."""

from typing import Any

import pytest

from beta9_provisioning.clouds.aws.adoption_table import WAYS
from beta9_simulator.cloud.authorization.operations import actions
from beta9_simulator.cloud.authorization.provider_needs import (
    Change,
    called,
    exceptions,
    needs,
    operations,
)
from beta9_simulator.cloud.authorization.reference import UnknownAction, permission
from beta9_simulator.cloud.authorization.things import subjects
from beta9_simulator.cloud.iam.evaluation import Asked
from beta9_simulator.cloud.store import NewObject, Store

ACCOUNT, REGION = "123456789012", "us-east-1"
TAGS = {"beta9:managed-by": "beta9-provisioning"}


def asked(store: Store, type_: str, operation: str, state: dict[str, Any], **more: Any) -> list[Asked]:
    return needs(store, Change(type_, operation, ACCOUNT, REGION, state, **more))


def on(found: list[Asked], action: str) -> list[str]:
    return [one.resource for one in found if one.action == action]


def context(found: list[Asked], action: str) -> dict[str, Any]:
    return dict(next(one.context for one in found if one.action == action))


def test_every_type_of_a_stack_is_known_as_iam_knows_it() -> None:
    assert set(WAYS) <= set(subjects()), "the table of adoption has all types of the stack"
    assert set(subjects()) == set(operations())


def test_a_type_that_nobody_has_told_about_fails_loudly(store: Store) -> None:
    with pytest.raises(UnknownAction, match="aws_coffee_machine"):
        asked(store, "aws_coffee_machine", "read", {"id": "x"})


def test_every_operation_of_every_type_asks_for_what_aws_knows() -> None:
    for type_, rows in operations().items():
        for names in rows.values():
            for name in names:
                for action in actions(*name.split(":")):
                    assert permission(action), (type_, action)


def test_an_exception_is_about_an_operation_that_is_there_or_adds_one() -> None:
    wrong = [
        (type_, what, name)
        for type_, rows in exceptions().items()
        for what, told in rows.items()
        for name, row in told.items()
        if (name in operations()[type_].get(what, [])) is ("always" in row)
    ]
    assert wrong == []


def test_what_the_reference_does_not_have_fails_loudly() -> None:
    with pytest.raises(UnknownAction):
        permission("ec2:CreateCoffee")


def test_what_is_new_has_no_id_and_tells_the_tags_it_is_to_get(store: Store) -> None:
    found = asked(store, "aws_vpc", "create", {"id": "vpc-1", "arn": "arn/vpc-1", "tags_all": TAGS})
    place = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/*"
    assert on(found, "ec2:CreateVpc") == [place]
    assert context(found, "ec2:CreateVpc") == {
        "aws:RequestTag/beta9:managed-by": "beta9-provisioning",
        "aws:TagKeys": ("beta9:managed-by",),
    }
    assert on(found, "ec2:CreateTags") == [place]
    assert context(found, "ec2:CreateTags")["ec2:CreateAction"] == "CreateVpc"
    assert on(found, "ec2:ModifyVpcAttribute") == []


def test_what_an_attribute_says_is_done_besides(store: Store) -> None:
    state = {"id": "vpc-1", "arn": "arn/vpc-1", "enable_dns_hostnames": True}
    assert on(asked(store, "aws_vpc", "create", state), "ec2:ModifyVpcAttribute") == ["arn/vpc-1"]
    # What the cloud chose by itself was not asked for.
    assert on(asked(store, "aws_vpc", "create", state, asked={}), "ec2:ModifyVpcAttribute") == []


def test_a_change_asks_for_what_it_changes(store: Store) -> None:
    before = {"id": "c", "name": "c", "arn": "arn/c", "version": "1.34", "tags_all": TAGS}
    found = asked(store, "aws_eks_cluster", "update", before | {"version": "1.35"}, prior=before)
    assert on(found, "eks:UpdateClusterVersion") == ["arn/c"]
    assert on(found, "eks:UpdateClusterConfig") == []
    assert on(found, "eks:TagResource") == []
    found = asked(store, "aws_eks_cluster", "update", before | {"tags_all": {}}, prior=before)
    assert on(found, "eks:UntagResource") == ["arn/c"]


def test_what_a_create_names_is_asked_about_with_its_tags(store: Store) -> None:
    vpc = {"id": "vpc-1", "arn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-1", "tags_all": TAGS}
    store.create(NewObject(ACCOUNT, REGION, "aws_vpc", "vpc-1", "", vpc))
    found = asked(store, "aws_subnet", "create", {"id": "subnet-1", "vpc_id": "vpc-1"})
    of_vpc = next(one for one in found if one.resource == vpc["arn"])
    assert of_vpc.context["aws:ResourceTag/beta9:managed-by"] == "beta9-provisioning"
    assert of_vpc.context["ec2:ResourceTag/beta9:managed-by"] == "beta9-provisioning"


def test_roles_are_passed_to_the_services_that_act_in_them(store: Store) -> None:
    state = {
        "id": "c:n",
        "arn": "arn/n",
        "cluster_name": "c",
        "node_role_arn": "arn/role",
        "launch_template": [{"id": "lt-1"}],
    }
    found = asked(store, "aws_eks_node_group", "create", state)
    passed = {one.context["iam:PassedToService"] for one in found if one.action == "iam:PassRole"}
    assert passed == {"eks.amazonaws.com", "ec2.amazonaws.com"}
    assert on(found, "iam:PassRole") == ["arn/role", "arn/role"]
    assert context(found, "ec2:RunInstances")["ec2:LaunchTemplate"].endswith(":launch-template/lt-1")
    linked = context(found, "iam:CreateServiceLinkedRole")
    assert linked == {"iam:AWSServiceName": "eks-nodegroup.amazonaws.com"}


def test_log_groups_are_asked_about_with_their_streams_but_for_tags(store: Store) -> None:
    state = {"id": "/beta9/x", "name": "/beta9/x", "arn": "arn/x", "tags_all": TAGS, "retention_in_days": 30}
    found = asked(store, "aws_cloudwatch_log_group", "create", state)
    place = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/beta9/x"
    assert on(found, "logs:CreateLogGroup") == [f"{place}:log-stream:"]
    assert on(found, "logs:PutRetentionPolicy") == [f"{place}:log-stream:"]
    assert on(found, "logs:TagResource") == [place]


def test_the_group_of_a_network_is_tagged_before_it_is_emptied(store: Store) -> None:
    state = {"id": "sg-1", "vpc_id": "vpc-1", "tags_all": TAGS}
    found = asked(store, "aws_default_security_group", "create", state)
    assert "aws:RequestTag/beta9:managed-by" in context(found, "ec2:CreateTags")
    assert "ec2:CreateAction" not in context(found, "ec2:CreateTags")
    assert "aws:ResourceTag/beta9:managed-by" in context(found, "ec2:RevokeSecurityGroupEgress")
    assert asked(store, "aws_default_security_group", "delete", state) == []


def test_which_policy_is_attached_is_told(store: Store) -> None:
    state = {"id": "r-p", "role": "r", "policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    found = asked(store, "aws_iam_role_policy_attachment", "create", state)
    assert context(found, "iam:AttachRolePolicy")["iam:PolicyARN"] == state["policy_arn"]
    assert on(found, "iam:AttachRolePolicy") == [f"arn:aws:iam::{ACCOUNT}:role/r"]


def test_tags_are_asked_for_only_where_a_read_does_not_give_them() -> None:
    def read(type_: str) -> list[str]:
        return called(Change(type_, "read", ACCOUNT, REGION, {"id": "x"}))

    assert "ec2:DescribeTags" not in read("aws_vpc")
    assert "rds:ListTagsForResource" in read("aws_db_subnet_group")
    assert "rds:ListTagsForResource" not in read("aws_db_instance")
