"""Bodies of Terraform blocks against a provider's schema: what is refused, and what it becomes."""

from collections.abc import Mapping
from typing import Any

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.engine.errors import SynthesisError
from beta9_provisioning.engine.synthesis.blocks import Place, Ref, Value, literal, one, render_block, type_at
from beta9_provisioning.engine.synthesis.providers import AttributeType, Block, load_schema

AWS = load_schema(SCHEMA_FILE)
BUCKET = AWS.resources["aws_s3_bucket"]["block"]
CLUSTER = AWS.resources["aws_eks_cluster"]["block"]
DATABASE = AWS.resources["aws_db_instance"]["block"]
RULE = AWS.resources["aws_security_group_rule"]["block"]
VPC_CONFIG = [{"subnet_ids": ["subnet-1"]}]


def render(block: Block, **values: Value) -> dict[str, Any]:
    return render_block(Place("aws_thing", "hashicorp/aws 6"), block, values)


def test_values_become_terraform_json() -> None:
    body = render(
        CLUSTER,
        name="c",
        role_arn=Ref("aws_iam_role.main.arn", "string"),
        bootstrap_self_managed_addons=False,
        enabled_cluster_log_types=["api"],
        tags={"a": "b"},
        version=None,
        vpc_config=[{"subnet_ids": [Ref("aws_subnet.a.id", "string")], "endpoint_public_access": True}],
        timeouts={"create": "60m"},
    )
    assert body == {
        "name": "c",
        "role_arn": "${aws_iam_role.main.arn}",
        "bootstrap_self_managed_addons": False,
        "enabled_cluster_log_types": ["api"],
        "tags": {"a": "b"},
        "vpc_config": [{"subnet_ids": ["${aws_subnet.a.id}"], "endpoint_public_access": True}],
        "timeouts": {"create": "60m"},
    }


@pytest.mark.parametrize(
    ("block", "values", "complaint", "remedy"),
    [
        (BUCKET, {"buckett": "b"}, "aws_thing: buckett is not an attribute or block", "Did you mean bucket"),
        (BUCKET, {"xyzzy": "b"}, "xyzzy is not an attribute or block", "force_destroy"),
        (BUCKET, {"arn": "a"}, "arn is read-only", ""),
        (BUCKET, {"bucket": 7}, "bucket takes a string, not 7", ""),
        (BUCKET, {"bucket": ["b"]}, r"bucket takes a string, not \['b'\]", ""),
        (BUCKET, {"force_destroy": "true"}, "force_destroy takes a bool, not 'true'", ""),
        (BUCKET, {"tags": ["a"]}, "tags takes a mapping", ""),
        (BUCKET, {"tags": {"a": 1}}, r"tags\.a takes a string, not 1", ""),
        (BUCKET, {"bucket": Ref("aws_vpc.main.tags", ["map", "string"])}, "takes a string, but aws_vpc", ""),
        (BUCKET, {"cors_rule": {"allowed_methods": []}}, "cors_rule takes a list", ""),
        (BUCKET, {"cors_rule": ["a"]}, r"cors_rule\[0\] takes a mapping, not 'a'", ""),
        (BUCKET, {"cors_rule": [{}]}, r"cors_rule\[0\]\.allowed_methods is required and missing", ""),
        (BUCKET, {"versioning": [{}, {}]}, "versioning is given 2 times.*between 0 and 1", ""),
        (CLUSTER, {"role_arn": "r", "vpc_config": VPC_CONFIG}, "name is required and missing", ""),
        (CLUSTER, {"name": "c", "role_arn": "r"}, "vpc_config is required and missing", ""),
        (
            CLUSTER,
            {"name": "c", "role_arn": "r", "vpc_config": []},
            "vpc_config is given 0 times.*between 1 and 1",
            "",
        ),
        (
            CLUSTER,
            {"name": "c", "role_arn": "r", "vpc_config": [{"subnet_idz": ["s"]}]},
            r"vpc_config\[0\]\.subnet_ids is required and missing",
            "",
        ),
        (
            CLUSTER,
            {"name": "c", "role_arn": "r", "vpc_config": [{"subnet_ids": "s"}]},
            r"vpc_config\[0\]\.subnet_ids takes a list, not 's'",
            "",
        ),
        (RULE, {"type": "ingress", "protocol": "tcp", "from_port": True}, "is required|takes a number", ""),
        (DATABASE, {"instance_class": "c", "allocated_storage": True}, "takes a number, not True", ""),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(
    block: Block, values: Mapping[str, Value], complaint: str, remedy: str
) -> None:
    with pytest.raises(SynthesisError, match=complaint) as error:
        render(block, **values)
    assert remedy in error.value.remedy
    assert "hashicorp/aws 6" in error.value.detail


@pytest.mark.parametrize(
    ("block", "path", "type_"),
    [
        (CLUSTER, "endpoint", "string"),
        (CLUSTER, "vpc_config[0].cluster_security_group_id", "string"),
        (CLUSTER, "vpc_config[0].subnet_ids", ["set", "string"]),
        (DATABASE, "port", "number"),
        (DATABASE, "master_user_secret[*].secret_arn", ["list", "string"]),
        (CLUSTER, "identity[*].oidc[*].issuer", ["list", ["list", "string"]]),
    ],
)
def test_references_know_their_type(block: Block, path: str, type_: AttributeType) -> None:
    assert type_at(Place("aws_thing", ""), block, path) == type_


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("endpoynt", "endpoynt is not an attribute"),
        ("vpc_config", "is a list of blocks"),
        ("vpc_config.subnet_ids", "is a list of blocks"),
        ("vpc_config[*].subnet_ids", "is a list of blocks"),
        ("vpc_config[0].nonsense", r"vpc_config\[0\].nonsense is not an attribute"),
        ("certificate_authority[0].data", "is a list of object and cannot be referred to"),
        ("certificate_authority[*].dato", r"dato is not an attribute"),
        ("endpoint[*].x", "is a string and cannot be referred to"),
        ("endpoint.x", "is a string and cannot be referred to"),
        ("tags[*].x", "is a map of string and cannot be referred to"),
        ("end-point", "is not the name"),
        ("", "is not the name"),
    ],
)
def test_references_to_what_is_not_there_are_refused(path: str, complaint: str) -> None:
    with pytest.raises(SynthesisError, match=complaint):
        type_at(Place("aws_eks_cluster", ""), CLUSTER, path)


def test_the_only_item_of_a_list_has_the_type_of_the_items() -> None:
    assert one(Ref("a.b[*].c", ["list", "string"])) == Ref("one(a.b[*].c)", "string")


def test_a_reference_cannot_be_taken_for_text() -> None:
    with pytest.raises(TypeError, match="cannot be part of a string"):
        f"{Ref('aws_vpc.main.id', 'string')}/*"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain $5 100%", "plain $5 100%"),
        ('${file("/etc/passwd")}', '$${file("/etc/passwd")}'),
        ("%{for x in y}", "%%{for x in y}"),
        ("$${a} %%{b}", "$$${a} %%%{b}"),
    ],
)
def test_templates_are_escaped(text: str, escaped: str) -> None:
    assert literal(text) == escaped
    assert render(BUCKET, bucket=text, tags={text: text}) == {"bucket": escaped, "tags": {escaped: escaped}}
