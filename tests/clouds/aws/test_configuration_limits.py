"""Configurations that AWS would refuse minutes after the create: refused at once, by field."""

from typing import Any

import botocore.session
import pytest
from pydantic import ValidationError
from tests.support.configs import document

from beta9_provisioning.clouds.aws.rules import partition_of
from beta9_provisioning.environments import rules
from beta9_provisioning.schemas.configuration import EnvironmentConfig

LONG = "a" * 30 + ".example.com/" + "b" * 30


def faults(**changes: Any) -> dict[str, str]:
    """Return the faults of the smallest configuration, changed, by their paths."""
    try:
        rules.read(document(**changes))
    except ValidationError as error:
        return {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors()}
    return {}


def labels(**labels: str) -> dict[str, Any]:
    return {"cluster__node_labels": labels}


def taints(*keys: str, effect: str = "NoSchedule") -> dict[str, Any]:
    return {"cluster__node_taints": [{"key": key, "effect": effect} for key in keys]}


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        (labels(**{"kubernetes.io/role": "x"}), "cluster.node_labels.kubernetes.io/role", "kubernetes.io/"),
        (
            labels(**{"node-role.kubernetes.io/x": "y"}),
            "cluster.node_labels.node-role.kubernetes.io/x",
            "EKS",
        ),
        (labels(**{"k8s.io/x": "y"}), "cluster.node_labels.k8s.io/x", "k8s.io/"),
        (labels(**{"eks.amazonaws.com/x": "y"}), "cluster.node_labels.eks.amazonaws.com/x", "reserves"),
        (labels(**{LONG: "y"}), f"cluster.node_labels.{LONG}", "63"),
        (labels(team=""), "cluster.node_labels.team", "no value"),
        (taints("a", "kubernetes.io/x"), "cluster.node_taints.1.key", "reserves"),
        (taints(LONG), "cluster.node_taints.0.key", "63"),
        (taints("a", "b", "a"), "cluster.node_taints", "'a' with effect NoSchedule comes twice"),
        ({"beta9__domain": ("a" * 49 + ".") * 4 + "a" * 46 + ".de"}, "beta9.domain", "248"),
        ({"tags": {"a": "x,y"}}, "tags.a", "','"),
        ({"tags": {"a": "x & y"}}, "tags.a", "'&'"),
        ({"tags": {"a(b)": "x"}}, "tags.a(b)", "'(' ')'"),
        ({"tags": {"a": "\U0001f600"}}, "tags.a", "'\\U0001f600'"),
        ({"tags": {"a": "x\ny"}}, "tags.a", "'\\n'"),
        ({"tags": {"\u212a": "x"}}, "tags.\u212a", "NFC"),
        ({"tags": {"a": "\uf900"}}, "tags.a", "NFC"),
        ({"tags": {"rds:x": "y"}}, "tags.rds:x", "reserves"),
        ({"tags": {"RDS:x": "y"}}, "tags.RDS:x", "reserves"),
        ({"tags": {"x": "aws:y"}}, "tags.x", "reserves"),
        ({"tags": {"Owner": "x", "owner": "y"}}, "tags.owner", "'Owner' in case only"),
        ({"data__object_store": {"bucket_prefix": "xn--a"}}, "data.object_store.bucket_prefix", "xn--"),
        ({"data__object_store": {"bucket_prefix": "sthree"}}, "data.object_store.bucket_prefix", "sthree-"),
        (
            {"data__object_store": {"bucket_prefix": "amzn-s3-demo-a"}},
            "data.object_store.bucket_prefix",
            "amzn-s3-demo-",
        ),
        (
            {"data__object_store": {"bucket_prefix": "a-s3alias"}},
            "data.object_store.bucket_prefix",
            "-s3alias",
        ),
        ({"data__object_store": {"bucket_prefix": "a--ol-s3"}}, "data.object_store.bucket_prefix", "--ol-s3"),
        (
            {"data__postgres": {"storage_gb": 100, "max_storage_gb": 109}},
            "data.postgres.max_storage_gb",
            "must be at least 110",
        ),
        (
            {"data__postgres": {"storage_gb": 60000, "max_storage_gb": 65536}},
            "data.postgres.max_storage_gb",
            "leave it out",
        ),
        (
            {"cloud__kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/1"},
            "cloud.kms_key_arn",
            "region us-east-1",
        ),
        ({"network__flow_log_days": 31}, "network.flow_log_days", "no retention that CloudWatch Logs has"),
        ({"cluster__log_days": 31}, "cluster.log_days", "no retention that CloudWatch Logs has"),
        (
            {"cluster__api": {"public_from": ["198.51.100.0/24", "10.0.0.0/8"]}},
            "cluster.api.public_from.1",
            "is a private range",
        ),
        ({"cloud__external_id": "caf\u00e9"}, "cloud.external_id", "pattern"),
        (
            {"cloud__role_arn": "arn:aws:iam::123456789012:role/\u00e9/Beta9Provisioner"},
            "cloud.role_arn",
            "not an IAM role ARN",
        ),
        (
            {"cloud__role_arn": "arn:aws:iam::\u0661\u0662\u0663456789012:role/Beta9Provisioner"},
            "cloud.role_arn",
            "not an IAM role ARN",
        ),
        (
            {"cloud__role_arn": "arn:aws-cn:iam::123456789012:role/Beta9Provisioner"},
            "cloud.region",
            "us-east-1 is in the partition aws, and the role in aws-cn",
        ),
        ({"cloud__region": "us-gov-west-1"}, "cloud.region", "partition aws-us-gov"),
        ({"cloud__region": "cn-north-1", "cloud__role_arn": "x"}, "cloud.role_arn", "arn:aws-cn:iam::"),
    ],
)
def test_what_aws_refuses_later_is_refused_at_once(changes: dict[str, Any], path: str, words: str) -> None:
    found = faults(**changes)
    assert list(found) == [path]
    assert words in found[path]


@pytest.mark.parametrize(
    "changes",
    [
        labels(team="platform", **{"example.com/role": "gpu", "notkubernetes.io/x": "y"}),
        labels(**{"a" * 50 + "/" + "b" * 12: "y"}),
        {
            "cluster__node_taints": [
                {"key": "a", "effect": "NoSchedule"},
                {"key": "a", "effect": "NoExecute"},
                {"key": "b", "value": "", "effect": "NoExecute"},
            ]
        },
        {"tags": {"cost center": "\u00dcber 1_000 a/b=c+d-e@f:g.", "name": "", "Team": "caf\u00e9 \u0663"}},
        {"data__object_store": {"bucket_prefix": "s3-demo"}},
        {"beta9__domain": ("a" * 49 + ".") * 4 + "a" * 45 + ".de"},
        {"cloud__external_id": "a_b+c=d,e.f@g:h/i-j"},
        {"cluster__api": {"public_from": ["0.0.0.0/0"]}, "cluster__log_days": 365},
        {
            "cloud__region": "cn-north-1",
            "cloud__role_arn": "arn:aws-cn:iam::123456789012:role/Beta9Provisioner",
        },
        {"cloud__role_arn": "arn:aws:iam::123456789012:role/teams/a/Beta9Provisioner"},
    ],
)
def test_what_aws_takes_is_taken(changes: dict[str, Any]) -> None:
    assert faults(**changes) == {}


def test_what_is_stored_is_read_whatever_a_provider_takes_today() -> None:
    stored = document(tags={"Owner": "a,b", "owner": "c"}, cluster__node_labels={"kubernetes.io/x": ""})
    assert EnvironmentConfig.model_validate(stored).tags["Owner"] == "a,b"


def test_partitions_are_botocores() -> None:
    found = botocore.session.get_session().get_data("partitions")
    regions = {
        region: partition["id"]
        for partition in found["partitions"]
        for region in partition["regions"]
        if not region.endswith("-global")
    }
    assert len(set(regions.values())) > 5
    assert {region: partition_of(region) for region in regions} == regions
