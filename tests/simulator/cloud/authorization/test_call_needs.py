"""What calls of AWS's API need: on which resources, with which conditions."""

from typing import Any

from beta9_simulator.cloud.authorization.call_needs import Called, needs
from beta9_simulator.cloud.store import NewObject, Store

ACCOUNT, REGION = "123456789012", "us-east-1"


def asked(store: Store, service: str, operation: str, **params: Any) -> list[tuple[str, str]]:
    found = needs(store, Called(service, operation, params, ACCOUNT, REGION))
    return [(one.action, one.resource) for one in found]


def test_what_knows_no_resources_is_asked_on_all(store: Store) -> None:
    assert asked(store, "ec2", "DescribeVpcs", VpcIds=["vpc-1"]) == [("ec2:DescribeVpcs", "*")]
    assert asked(store, "elbv2", "DescribeLoadBalancers") == [
        ("elasticloadbalancing:DescribeLoadBalancers", "*")
    ]


def test_everybody_may_ask_who_he_is(store: Store) -> None:
    assert asked(store, "sts", "GetCallerIdentity") == []


def test_a_name_becomes_an_arn_and_the_resource_that_has_it(store: Store) -> None:
    arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:nodegroup/c/n/1234"
    store.create(NewObject(ACCOUNT, REGION, "aws_eks_node_group", "c:n", "n", {"id": "c:n", "arn": arn}))
    assert asked(store, "eks", "DescribeNodegroup", clusterName="c", nodegroupName="n") == [
        ("eks:DescribeNodegroup", arn)
    ]
    assert asked(store, "eks", "DescribeCluster", name="c") == [
        ("eks:DescribeCluster", f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/c")
    ]


def test_objects_are_deleted_one_by_one_and_by_version(store: Store) -> None:
    objects = [{"Key": "a"}, {"Key": "b", "VersionId": "1"}]
    assert asked(store, "s3", "DeleteObjects", Bucket="x", Delete={"Objects": objects}) == [
        ("s3:DeleteObject", "arn:aws:s3:::x/a"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::x/b"),
    ]
    assert asked(store, "s3", "GetObject", Bucket="x", Key="a", VersionId="1") == [
        ("s3:GetObjectVersion", "arn:aws:s3:::x/a")
    ]


def test_s3_has_other_names_for_some(store: Store) -> None:
    assert asked(store, "s3", "HeadBucket", Bucket="x") == [("s3:ListBucket", "arn:aws:s3:::x")]
    assert asked(store, "s3", "CreateBucket", Bucket="x", ObjectOwnership="BucketOwnerEnforced") == [
        ("s3:CreateBucket", "arn:aws:s3:::x"),
        ("s3:PutBucketOwnershipControls", "arn:aws:s3:::x"),
    ]


def test_a_create_with_tags_asks_for_tagging(store: Store) -> None:
    found = needs(
        store,
        Called(
            "secretsmanager",
            "CreateSecret",
            {"Name": "x", "Tags": [{"Key": "a", "Value": "b"}]},
            ACCOUNT,
            REGION,
        ),
    )
    assert [one.action for one in found] == ["secretsmanager:CreateSecret", "secretsmanager:TagResource"]
    assert found[0].resource.startswith(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:x-")
    assert found[0].context == {"aws:RequestTag/a": "b", "aws:TagKeys": ("a",)}


def test_public_parameters_belong_to_nobody(store: Store) -> None:
    assert asked(store, "ssm", "GetParameter", Name="/aws/service/eks/x") == [
        ("ssm:GetParameter", f"arn:aws:ssm:{REGION}::parameter/aws/service/eks/x")
    ]
    assert asked(store, "ssm", "GetParameter", Name="/mine") == [
        ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/mine")
    ]
