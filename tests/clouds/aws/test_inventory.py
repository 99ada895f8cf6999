"""What is left of an environment: answers that lag, names that were not tagged, and what blocks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.support.stacks import synthesized

from beta9_provisioning.clouds.aws.inventory import kept, leftovers, parse_arn
from beta9_provisioning.clouds.aws.inventory_kinds import EC2, KIND_OF, MADE_BESIDE, NAMED, OWNER_OF
from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.cloud import Leftover

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer

NAMES = names("env_0123456789abcdef")
LARGEST: dict[str, Any] = {
    "cluster": {"profile": "large"},
    "data": {
        "postgres": {"size": "large", "multi_az": True},
        "redis": {"size": "large", "ha": True, "num_replicas": 2},
        "object_store": {"versioning": True, "lifecycle_days": 30},
    },
}
TAG = [{"Key": "beta9:environment-id", "Value": "env_0123456789abcdef"}]


class Fake:
    """A session whose services answer what a test says; all else is empty."""

    def __init__(self, customer: Customer) -> None:
        self.session = AwsSession(
            region="us-east-1",
            role_arn=customer.seeded.role_arn,
            external_id=customer.seeded.external_id,
            session_name="test",
            s3_path_style=True,
        )

    def tagged(self, *arns: str) -> None:
        mappings = [{"ResourceARN": arn, "Tags": TAG} for arn in arns]
        client = self.session.client("resourcegroupstaggingapi")
        client.meta.events.register(
            f"after-call.{client.meta.service_model.service_id.hyphenize()}.GetResources",
            lambda parsed, **_: parsed.update(ResourceTagMappingList=mappings),
        )

    def ec2(self, operation: str, answer: dict[str, Any]) -> None:
        self.session.client("ec2").meta.events.register(
            f"after-call.ec2.{operation}", lambda parsed, **_: parsed.update(answer)
        )

    def left(self) -> list[Leftover]:
        return leftovers(self.session, "env_0123456789abcdef")


@pytest.fixture
def fake(customer: Customer) -> Fake:
    return Fake(customer)


def arn(resource: str, service: str = "ec2") -> str:
    return f"arn:aws:{service}:us-east-1:123456789012:{resource}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (arn("subnet/subnet-1"), ("ec2:subnet", "subnet-1")),
        (arn("cluster/c", "eks"), ("eks:cluster", "c")),
        (arn("nodegroup/c/n/uuid", "eks"), ("eks:nodegroup", "c/n/uuid")),
        (arn("db:my-db", "rds"), ("rds:db", "my-db")),
        (arn("replicationgroup:r", "elasticache"), ("elasticache:replicationgroup", "r")),
        ("arn:aws:s3:::my-bucket", ("s3:bucket", "my-bucket")),
        ("arn:aws:iam::123456789012:role/path/name", ("iam:role", "path/name")),
        (arn("secret:name-AbCdEf", "secretsmanager"), ("secretsmanager:secret", "name-AbCdEf")),
        (
            arn("loadbalancer/net/a/1", "elasticloadbalancing"),
            ("elasticloadbalancing:loadbalancer", "net/a/1"),
        ),
        (arn("topic", "sns"), ("sns:topic", "")),
    ],
)
def test_arns(given: str, expected: tuple[str, str]) -> None:
    assert parse_arn(given) == expected


def test_nothing_is_left_of_what_never_was(fake: Fake) -> None:
    assert fake.left() == []


def test_what_the_tagging_api_still_lists_is_looked_for(fake: Fake) -> None:
    fake.tagged(
        arn("vpc/vpc-gone"),
        arn("natgateway/nat-gone"),
        arn("cluster/gone", "eks"),
        arn("nodegroup/gone/n/1", "eks"),
        arn("addon/gone/coredns/1", "eks"),
        arn("db:gone", "rds"),
        arn("replicationgroup:gone", "elasticache"),
        "arn:aws:s3:::gone-bucket",
    )
    assert fake.left() == []


def test_kinds_that_are_not_looked_up_are_believed_and_others_are_not(fake: Fake) -> None:
    """The tagging API lists for hours what is gone."""
    fake.tagged(
        arn("topic-1", "sns"),
        arn("key/1234", "kms"),
        arn("loadbalancer/net/a/1", "elasticloadbalancing"),
        arn("instance/i-1"),
        arn("security-group-rule/sgr-1"),
        arn("subgrp:beta9-0123456789ab", "rds"),
        arn("log-group:beta9-0123456789ab", "logs"),
    )
    assert [(item.kind, item.id) for item in fake.left()] == [("sns:topic-1", "")]


def test_an_account_that_never_used_elasticache_has_no_users(fake: Fake) -> None:
    def refuse(**_: object) -> None:
        raise ClientError(
            {"Error": {"Code": "ServiceLinkedRoleNotFoundFault", "Message": "no"}}, "DescribeUsers"
        )

    fake.session.client("elasticache").meta.events.register("before-call.elasticache.DescribeUsers", refuse)
    assert fake.left() == []


def test_terminated_instances_are_gone(fake: Fake) -> None:
    states = {"i-1": "terminated", "i-2": "shutting-down"}
    instances = [{"InstanceId": id_, "State": {"Name": name}} for id_, name in states.items()]
    fake.ec2("DescribeInstances", {"Reservations": [{"Instances": instances}]})
    assert fake.left() == [Leftover("ec2:instance", "i-2", "shutting-down")]


def test_a_key_that_waits_for_its_deletion_stays_for_a_reason(fake: Fake) -> None:
    fake.tagged(arn("key/1234", "kms"))
    about = {
        "KeyId": "1234",
        "KeyState": "PendingDeletion",
        "DeletionDate": datetime(2026, 12, 28, tzinfo=UTC),
    }
    fake.session.client("kms").meta.events.register(
        "before-call.kms.DescribeKey",
        lambda **_: (SimpleNamespace(status_code=200), {"KeyMetadata": about}),
    )
    assert fake.left() == []
    [stays] = kept(fake.session, "env_0123456789abcdef")
    assert str(stays) == "kms:key 1234 (deleted on 2026-12-28)"


def test_every_kind_of_a_stack_and_of_what_is_made_beside_it_is_looked_for(
    tmp_path: Path,
) -> None:
    """A part ends with its owner; all else is looked up."""
    for number, sections in enumerate((LARGEST, {})):
        document = synthesized(tmp_path / str(number), **sections)
        unknown = set(document["resource"]) - KIND_OF.keys() - OWNER_OF.keys()
        assert unknown == set()
    assert set(OWNER_OF.values()) <= KIND_OF.keys()
    others = {"eks:cluster", "iam:oidc-provider", "kms:key", "s3:bucket"}
    balancers = {"elasticloadbalancing:loadbalancer", "elasticloadbalancing:targetgroup"}
    assert {*KIND_OF.values(), *MADE_BESIDE} <= {*EC2, *NAMED} | others | balancers


def test_deleted_gateways_are_gone(fake: Fake) -> None:
    gateways = [{"NatGatewayId": "nat-1", "State": "deleted"}, {"NatGatewayId": "nat-2", "State": "deleting"}]
    fake.ec2("DescribeNatGateways", {"NatGateways": gateways})
    assert fake.left() == [Leftover("ec2:natgateway", "nat-2", "deleting")]


def test_says_what_blocks(fake: Fake) -> None:
    fake.ec2("DescribeVpcs", {"Vpcs": [{"VpcId": "vpc-1", "State": "available"}]})
    fake.ec2("DescribeSubnets", {"Subnets": [{"SubnetId": "subnet-1", "State": "available"}]})
    fake.ec2("DescribeSecurityGroups", {"SecurityGroups": [{"GroupId": "sg-1"}, {"GroupId": "sg-2"}]})
    fake.ec2("DescribeAddresses", {"Addresses": [{"AllocationId": "eip-1", "AssociationId": "assoc-1"}]})
    interface = {
        "NetworkInterfaceId": "eni-1",
        "Description": "ELB net/entry/1",
        "VpcId": "vpc-1",
        "SubnetId": "subnet-1",
        "Groups": [{"GroupId": "sg-1"}],
        "Status": "in-use",
    }
    fake.ec2("DescribeNetworkInterfaces", {"NetworkInterfaces": [interface]})

    found = {item.id: item for item in fake.left()}
    words = ("network interface eni-1 (ELB net/entry/1)",)
    assert found["vpc-1"].blocked_by == words
    assert found["subnet-1"].blocked_by == words
    assert found["sg-1"].blocked_by == words
    assert found["sg-2"].blocked_by == ()
    assert found["eip-1"].blocked_by == ("association assoc-1",)
    assert str(found["subnet-1"]) == (
        "ec2:subnet subnet-1 (available), blocked by network interface eni-1 (ELB net/entry/1)"
    )


def test_in_a_network_that_is_not_its_own_says_what_blocks_a_group(fake: Fake) -> None:
    fake.ec2("DescribeSecurityGroups", {"SecurityGroups": [{"GroupId": "sg-1"}]})
    held = {"VpcId": "vpc-owners", "SubnetId": "subnet-owners", "Groups": [{"GroupId": "sg-1"}]}
    theirs = {"NetworkInterfaceId": "eni-1", "Description": "somebody's", "Status": "in-use", **held}
    fake.ec2("DescribeNetworkInterfaces", {"NetworkInterfaces": [theirs]})
    found = {item.id: item for item in fake.left()}
    assert found["sg-1"].blocked_by == ("network interface eni-1 (somebody's)",)


def test_finds_the_bucket_by_its_name(fake: Fake) -> None:
    s3 = fake.session.client("s3")
    s3.create_bucket(Bucket=NAMES.bucket("anything"))
    s3.create_bucket(Bucket="beta9-tfstate-unrelated")
    assert fake.left() == [Leftover("s3:bucket", NAMES.bucket("anything"))]


def test_a_refusal_is_not_an_empty_answer(customer: Customer) -> None:
    own = AwsSession(
        region="us-east-1", role_arn=customer.seeded.role_arn, external_id="wrong", session_name="test"
    )
    with pytest.raises(AwsError) as caught:
        leftovers(own, "env_0123456789abcdef")
    assert caught.value.code == "role_refused"
