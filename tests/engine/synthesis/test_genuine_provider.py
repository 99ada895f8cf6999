"""The executor with the genuine hashicorp/aws provider and the genuine S3 backend, on moto.

What Terraform reports is compared with what boto3 finds in the cloud.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_sts import fake_sts, refuses
from tests.support.genuine_provider import (
    Stack,
    cloud_client,
    inventory,
    moto_server,
    sts_that_knows_nobody,
    unpacked_mirror,
)

from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.terraform.errors import TerraformFailed
from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.kit.certificates import GENERAL
from beta9_provisioning.operations.run.context import child_environment
from beta9_provisioning.schemas.configuration import Provider
from beta9_provisioning.settings import Settings
from beta9_simulator.cluster.certificates import server_context

LOCK = "terraform.tfstate.tflock"

Resources = dict[str, dict[str, Any]]

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "eks.amazonaws.com"}}
    ],
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}],
}
ANYWHERE = {
    "description": "",
    "ipv6_cidr_blocks": [],
    "prefix_list_ids": [],
    "security_groups": [],
    "self": False,
}


def network(name: str, *, subnets: int = 4, **tags: str) -> Resources:
    """A network, a role with a policy, and a bucket."""
    return {
        "aws_vpc": {
            "main": {
                "cidr_block": "10.0.0.0/16",
                "enable_dns_hostnames": True,
                "tags": {"Name": name, **tags},
            }
        },
        "aws_subnet": {
            "zone": {
                "count": subnets,
                "vpc_id": "${aws_vpc.main.id}",
                "cidr_block": "${cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)}",
            }
        },
        "aws_route_table": {"public": {"vpc_id": "${aws_vpc.main.id}"}},
        "aws_route_table_association": {
            "public": {
                "count": subnets,
                "subnet_id": "${aws_subnet.zone[count.index].id}",
                "route_table_id": "${aws_route_table.public.id}",
            }
        },
        "aws_security_group": {
            "nodes": {
                "name": f"{name}-nodes",
                "vpc_id": "${aws_vpc.main.id}",
                "ingress": [
                    {
                        "protocol": "tcp",
                        "from_port": 443,
                        "to_port": 443,
                        "cidr_blocks": ["10.0.0.0/16"],
                        **ANYWHERE,
                    }
                ],
            }
        },
        "aws_iam_role": {"cluster": {"name": f"{name}-cluster", "assume_role_policy": json.dumps(TRUST)}},
        "aws_iam_policy": {"cluster": {"name": f"{name}-cluster", "policy": json.dumps(POLICY)}},
        "aws_iam_role_policy_attachment": {
            "cluster": {"role": "${aws_iam_role.cluster.name}", "policy_arn": "${aws_iam_policy.cluster.arn}"}
        },
        "aws_s3_bucket": {"objects": {"bucket": f"{name}-objects", "force_destroy": True}},
    }


def gateway() -> Resources:
    """A way to the internet for a network. The provider waits 10 s when it detaches the gateway."""
    return {
        "aws_internet_gateway": {"main": {"vpc_id": "${aws_vpc.main.id}"}},
        "aws_route": {
            "internet": {
                "route_table_id": "${aws_route_table.public.id}",
                "destination_cidr_block": "0.0.0.0/0",
                "gateway_id": "${aws_internet_gateway.main.id}",
            }
        },
    }


OUTPUTS = {
    "vpc_id": {"value": "${aws_vpc.main.id}"},
    "subnet_ids": {"value": "${aws_subnet.zone[*].id}"},
    "role_arn": {"value": "${aws_iam_role.cluster.arn}"},
    "bucket": {"value": "${aws_s3_bucket.objects.id}", "sensitive": True},
}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def rc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with unpacked_mirror(tmp_path_factory.mktemp("mirror")) as rc:
        yield rc


@pytest.fixture(scope="module")
def initialized(tmp_path_factory: pytest.TempPathFactory, aws: str, rc: Path) -> Path:
    """A directory in which `terraform init` has linked the provider; tests copy it."""
    stack = Stack(tmp_path_factory.mktemp("initialized"), rc, aws)
    stack.write({})
    stack.terraform.init()
    return stack.directory


@pytest.fixture
def stack(tmp_path: Path, initialized: Path, aws: str, rc: Path) -> Stack:
    directory = tmp_path / "stack"
    shutil.copytree(initialized, directory, symlinks=True)
    return Stack(directory, rc, aws)


def addresses(resources: Resources) -> set[str]:
    found = set()
    for kind, named in resources.items():
        for name, body in named.items():
            count = body.get("count")
            numbers = [""] if count is None else [f"[{number}]" for number in range(count)]
            found |= {f"{kind}.{name}{number}" for number in numbers}
    return found


def test_init_links_the_unpacked_provider(initialized: Path, rc: Path) -> None:
    linked = initialized / ".terraform/providers/registry.terraform.io/hashicorp/aws/3.39.0/linux_amd64"
    assert linked.is_symlink()
    assert linked.resolve().is_relative_to(rc.parent.resolve())


def test_a_network_is_made_kept_changed_mended_and_removed(stack: Stack) -> None:
    before = inventory(stack.aws)
    resources = network("life") | gateway()
    expected = addresses(resources)
    stack.write(resources, outputs=OUTPUTS)

    made = stack.apply()
    assert (made.total, made.done, errored(stack)) == (len(expected), len(expected), set())
    assert stack.steps == list(range(len(expected) + 1))
    assert made.completed_addresses == expected
    assert set(stack.terraform.resources()) == expected
    outputs = stack.terraform.outputs()
    assert ("vpc", outputs["vpc_id"]) in inventory(stack.aws) - before
    assert len(set(outputs["subnet_ids"])) == 4  # type: ignore[call-overload]
    assert outputs["bucket"] == "life-objects"
    assert "life-objects" not in str([e.data for e in stack.events if e.type == "outputs"])

    kept = stack.apply()
    assert (kept.total, kept.done) == (0, 0)
    assert kept.completed_addresses == expected

    stack.write(network("life", CostCenter="research") | gateway(), outputs=OUTPUTS)
    changed = stack.apply()
    assert (changed.total, changed.done) == (1, 1)
    assert completed(stack) == {("aws_vpc.main", "update")}
    assert tags(stack, outputs["vpc_id"]) == {"Name": "life", "CostCenter": "research"}

    drift(stack, outputs)
    stack.apply()
    assert completed(stack) == {
        ("aws_vpc.main", "update"),
        ("aws_security_group.nodes", "update"),
        ("aws_iam_role_policy_attachment.cluster", "create"),
    }
    assert tags(stack, outputs["vpc_id"]) == {"Name": "life", "CostCenter": "research"}
    assert len(attached(stack, "life-cluster")) == 1
    assert stack.terraform.outputs() == outputs

    gone = stack.destroy()
    assert gone.completed_addresses == expected
    assert stack.terraform.resources() == []
    assert inventory(stack.aws) == before


def drift(stack: Stack, outputs: dict[str, Any]) -> None:
    """Do by hand what should have been done with Terraform."""
    ec2, iam = stack.client("ec2"), stack.client("iam")
    ec2.delete_tags(Resources=[outputs["vpc_id"]], Tags=[{"Key": "CostCenter"}])
    mine = [
        {"Name": "vpc-id", "Values": [outputs["vpc_id"]]},
        {"Name": "group-name", "Values": ["life-nodes"]},
    ]
    group = ec2.describe_security_groups(Filters=mine)["SecurityGroups"][0]
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    (policy,) = attached(stack, "life-cluster")
    iam.detach_role_policy(RoleName="life-cluster", PolicyArn=policy)


def completed(stack: Stack) -> set[tuple[str | None, str | None]]:
    return {(event.address, event.action) for event in stack.events if event.type == "apply_complete"}


def errored(stack: Stack) -> set[str | None]:
    return {event.address for event in stack.events if event.type == "apply_errored"}


def tags(stack: Stack, vpc: object) -> dict[str, str]:
    (found,) = stack.client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def attached(stack: Stack, role: str) -> list[str]:
    answer = stack.client("iam").list_attached_role_policies(RoleName=role)
    return [policy["PolicyArn"] for policy in answer["AttachedPolicies"]]


@pytest.fixture
def vpc(aws: str) -> Iterator[str]:
    """A network that Terraform did not make: the provider takes 10 s for one."""
    client = cloud_client(aws, "ec2")
    vpc: str = client.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    yield vpc
    client.delete_vpc(VpcId=vpc)


def test_a_create_that_the_cloud_refuses_is_named_and_the_rest_is_kept(stack: Stack, vpc: str) -> None:
    before = inventory(stack.aws)
    inside = {"vpc_id": vpc, "cidr_block": "10.1.0.0/24"}
    outside = {"vpc_id": vpc, "cidr_block": "192.168.0.0/24"}
    role = {"name": "refused", "assume_role_policy": json.dumps(TRUST)}
    stack.write({"aws_subnet": {"inside": inside, "outside": outside}, "aws_iam_role": {"one": role}})
    with pytest.raises(TerraformFailed, match=r"at aws_subnet\.outside: .*InvalidSubnet\.Range") as caught:
        stack.apply()
    assert caught.value.code == "provider_refused"
    assert "192.168.0.0/24" in caught.value.detail
    assert [item.address for item in caught.value.diagnostics] == ["aws_subnet.outside"]
    assert errored(stack) == {"aws_subnet.outside"}
    assert stack.progress.completed_addresses == {"aws_subnet.inside", "aws_iam_role.one"}
    assert set(stack.terraform.resources()) == {"aws_subnet.inside", "aws_iam_role.one"}

    stack.destroy()
    assert inventory(stack.aws) == before


def test_a_value_that_the_provider_refuses_is_named_before_anything_is_made(stack: Stack) -> None:
    before = inventory(stack.aws)
    stack.write({"aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}, "wrong": {"cidr_block": "no network"}}})
    with pytest.raises(TerraformFailed, match=r"at aws_vpc\.wrong") as caught:
        stack.apply()
    assert "no network" in caught.value.detail
    assert inventory(stack.aws) == before


def test_a_stop_in_the_middle_leaves_state_and_cloud_agreeing(stack: Stack, vpc: str) -> None:
    before = inventory(stack.aws)
    first = {"vpc_id": vpc, "cidr_block": "10.1.255.0/24"}
    others = {
        "count": 30,
        "vpc_id": "${aws_subnet.first.vpc_id}",
        "cidr_block": '${cidrsubnet("10.1.0.0/16", 8, count.index)}',
    }

    def stop_after_the_first(event: TerraformEvent) -> None:
        if (event.type, event.address) == ("apply_complete", "aws_subnet.first"):
            stack.stop.set()

    stack.write({"aws_subnet": {"first": first, "other": others}})
    stack.take = stop_after_the_first
    with pytest.raises(Stopped):
        stack.apply()
    stack.stop.clear()
    stack.take = lambda _: None
    kept = stack.terraform.resources()
    assert "aws_subnet.first" in kept
    assert len(kept) < 31, "the stop came too late to show anything"
    assert len(inventory(stack.aws) - before) == len(kept)

    stack.destroy()
    assert inventory(stack.aws) == before


def test_credentials_that_the_provider_cannot_use(stack: Stack) -> None:
    with sts_that_knows_nobody() as sts:
        stack.write({"aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}}}, sts=sts)
        with pytest.raises(TerraformFailed, match="InvalidClientTokenId") as caught:
            stack.apply()
    assert caught.value.code == "credentials_refused"
    assert "credentials" in caught.value.remedy


def test_the_provider_trusted_the_public_authorities_only(tmp_path: Path, aws: str, rc: Path) -> None:
    """Whichever variable the worker has, as its Terraform gets it."""
    pem, context = server_context("127.0.0.1")
    (tmp_path / "authority.pem").write_text(pem)
    codes = []
    with fake_sts(context) as sts:
        sts.will(refuses(403, "InvalidClientTokenId"))
        for name in ("", *GENERAL):
            source = {name: str(tmp_path / "authority.pem")} if name else {}
            env = child_environment(source, Settings(), CLOUDS[Provider.AWS].child_variables)
            stack = Stack(tmp_path / "stack", rc, aws, **env)
            stack.write({"aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}}}, sts=sts.url)
            stack.terraform.init()
            with pytest.raises(TerraformFailed) as caught:
                stack.apply()
            codes.append(caught.value.code)
    assert codes == ["certificate_untrusted", *["credentials_refused"] * 3]


@pytest.fixture
def state_bucket(aws: str) -> Iterator[str]:
    client = cloud_client(aws, "s3")
    client.create_bucket(Bucket="genuine-state")
    yield "genuine-state"
    for entry in client.list_objects_v2(Bucket="genuine-state").get("Contents", []):
        client.delete_object(Bucket="genuine-state", Key=entry["Key"])
    client.delete_bucket(Bucket="genuine-state")


def test_credentials_that_the_backend_cannot_use(
    tmp_path: Path, aws: str, rc: Path, state_bucket: str
) -> None:
    stack = Stack(tmp_path / "stack", rc, aws)
    with sts_that_knows_nobody() as sts:
        stack.write_on_s3({"terraform_data": {"one": {}}}, bucket=state_bucket, sts=sts)
        with pytest.raises(TerraformFailed, match="InvalidClientTokenId") as caught:
            stack.terraform.init()
    assert caught.value.code == "credentials_refused"
