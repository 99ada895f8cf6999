"""Calls at the API door under a role's policies: what is refused, and in whose words."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.simulator.cloud.test_api import Door, code

from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.authorization.gate import RECORD
from beta9_simulator.cloud.seeding import Seeded, seed
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store

ANY = "*"


def allow(*actions: str, on: str = ANY, **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def door(api: AwsApi, store: Store, **policies: dict[str, Any]) -> Door:
    seeded = seed(store, policies=policies)
    return Door(api, seeded.access_key, seeded.secret_key).assume(seeded)


def bound(store: Store, seeded: Seeded, boundary: dict[str, Any]) -> None:
    arn = f"arn:aws:iam::{seeded.account}:policy/boundary"
    state = {"id": arn, "arn": arn, "name": "boundary", "policy": json.dumps(boundary)}
    store.create(NewObject(seeded.account, GLOBAL, "aws_iam_policy", arn, "boundary", state))
    [role] = store.find("aws_iam_role", account=seeded.account)
    store.edit(role, permissions_boundary=arn)


@pytest.mark.parametrize(
    ("call", "named", "params"),
    [
        ("ec2.describe_vpcs", "UnauthorizedOperation", {}),
        ("eks.describe_cluster", "AccessDeniedException", {"name": "x"}),
        ("iam.get_role", "AccessDenied", {"RoleName": "x"}),
        ("rds.describe_db_instances", "AccessDenied", {}),
        ("s3.list_objects_v2", "AccessDenied", {"Bucket": "x"}),
        ("s3.head_bucket", "403", {"Bucket": "x"}),
        ("kms.list_keys", "AccessDeniedException", {}),
    ],
)
def test_each_service_refuses_with_its_own_code(
    api: AwsApi, store: Store, call: str, named: str, params: dict[str, Any]
) -> None:
    nothing = door(api, store, Useless=allow("sns:Publish"))
    service, _, operation = call.partition(".")
    with pytest.raises(ClientError) as refused:
        getattr(nothing.client(service), operation)(**params)
    assert code(refused) == named
    if operation != "head_bucket":
        assert "is not authorized to perform: " in str(refused.value)
        assert "because no identity-based policy allows the" in str(refused.value)


def test_what_a_policy_allows_is_allowed_and_nothing_else(api: AwsApi, store: Store) -> None:
    customer = door(api, store, Look=allow("ec2:DescribeVpcs"), Roles=allow("iam:ListRoles"))
    assert customer.client("ec2").describe_vpcs()["Vpcs"] == []
    assert customer.client("iam").list_roles()["Roles"]
    with pytest.raises(ClientError, match="ec2:DescribeSubnets"):
        customer.client("ec2").describe_subnets()


def test_a_refused_call_changes_nothing(api: AwsApi, store: Store) -> None:
    customer = door(api, store, Look=allow("s3:ListAllMyBuckets"))
    with pytest.raises(ClientError):
        customer.client("s3").create_bucket(Bucket="mine")
    assert customer.client("s3").list_buckets()["Buckets"] == []


def test_a_boundary_takes_away_even_from_administrators(api: AwsApi, store: Store, seeded: Seeded) -> None:
    bound(store, seeded, allow("ec2:Describe*"))
    customer = Door(api, seeded.access_key, seeded.secret_key).assume(seeded)
    assert customer.client("ec2").describe_vpcs()["Vpcs"] == []
    with pytest.raises(ClientError, match="no permissions boundary allows the iam:ListRoles action"):
        customer.client("iam").list_roles()


def test_a_key_is_for_those_whom_its_own_policy_names(api: AwsApi, store: Store, seeded: Seeded) -> None:
    arn = f"arn:aws:kms:us-east-1:{seeded.account}:key/k"
    other = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::999999999999:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
    }
    state = {"id": "k", "key_id": "k", "arn": arn, "policy": json.dumps(other)}
    store.create(NewObject(seeded.account, "us-east-1", "aws_kms_key", "k", "", state))
    customer = door(api, store, Keys=allow("kms:*"))
    with pytest.raises(ClientError) as refused:
        customer.client("kms").describe_key(KeyId="k")
    assert code(refused) == "AccessDeniedException"


def test_a_condition_is_judged(api: AwsApi, store: Store) -> None:
    tagged = {"StringEquals": {"aws:RequestTag/team": "a"}}
    customer = door(api, store, Secrets=allow("secretsmanager:*", Condition=tagged))
    secrets = customer.client("secretsmanager")
    secrets.create_secret(Name="one", SecretString="x", Tags=[{"Key": "team", "Value": "a"}])
    with pytest.raises(ClientError):
        secrets.create_secret(Name="two", SecretString="x", Tags=[{"Key": "team", "Value": "b"}])


def test_the_boundary_of_a_role_is_judged(api: AwsApi, store: Store) -> None:
    """That of the request when a role is made, and that of the role when it is written."""
    arn = "arn:aws:iam::123456789012:policy/Useful"
    bounded = {"StringEquals": {"iam:PermissionsBoundary": arn}}
    writes = ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy")
    customer = door(api, store, Useful=allow(*writes, Condition=bounded), Tags=allow("iam:TagRole"))
    iam = customer.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    told = {"AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [trust]})}
    document = json.dumps(allow("s3:GetObject"))
    read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    iam.create_role(RoleName="in", PermissionsBoundary=arn, **told)
    iam.put_role_policy(RoleName="in", PolicyName="p", PolicyDocument=document)
    iam.attach_role_policy(RoleName="in", PolicyArn=read_only)
    [role] = store.find("aws_iam_role", name="in")
    for boundary in (None, read_only):
        store.edit(role, permissions_boundary=boundary)
        more = {"PermissionsBoundary": boundary} if boundary else {}
        with pytest.raises(ClientError, match="iam:CreateRole"):
            iam.create_role(RoleName="out", **told, **more)
        with pytest.raises(ClientError, match="iam:PutRolePolicy"):
            iam.put_role_policy(RoleName="in", PolicyName="q", PolicyDocument=document)
        with pytest.raises(ClientError, match="iam:AttachRolePolicy"):
            iam.attach_role_policy(RoleName="in", PolicyArn=read_only)
    assert not store.find("aws_iam_role", name="out")


def test_users_and_administrators_are_not_asked(api: AwsApi, store: Store, seeded: Seeded) -> None:
    control = Door(api, seeded.access_key, seeded.secret_key)
    assert control.client("iam").list_roles() is not None
    assert control.assume(seeded).client("iam").list_roles()["Roles"]


def test_what_is_asked_can_be_recorded(api: AwsApi, store: Store, seeded: Seeded, tmp_path: Path) -> None:
    place = tmp_path / "asked"
    store.set_setting(RECORD, str(place))
    Door(api, seeded.access_key, seeded.secret_key).assume(seeded).client("ec2").describe_vpcs()
    lines = [json.loads(line) for line in place.read_text().splitlines()]
    assert [(one["by"], one["action"]) for one in lines] == [
        (seeded.user_arn, "sts:AssumeRole"),
        (seeded.role_arn, "ec2:DescribeVpcs"),
    ]
