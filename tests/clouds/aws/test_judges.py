"""What independent judges say of the stacks: botocore's service models and cfn-lint's data.

The simulated cloud takes some of what AWS refuses. These know AWS's names, patterns, lengths and
enumerations, and what each region offers.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import pytest
from scripts.examples import EXAMPLES, resources, stack
from tests.clouds.aws.judged_types import JUDGED
from tests.support.aws_schemas import Translation, list_of_cfn_lint, of_cloudformation, of_request
from tests.support.stacks import Document

from beta9_provisioning.schemas.configuration import Size
from beta9_provisioning.settings import Settings

_META = ("//", "depends_on", "lifecycle", "provider")


def translations(kind: str, body: Document) -> Iterator[Translation]:
    """The resource as each judge of its type understands it."""
    judged = JUDGED[kind]
    arguments = {name: value for name, value in body.items() if name not in _META}
    if judged.cloudformation:
        yield Translation(arguments, of_cloudformation(judged.cloudformation), judged.also)
    if judged.request is not None:
        schema = of_request(*judged.request)
        inner = {judged.inside: arguments} if judged.inside else arguments
        yield Translation(inner, schema, judged.also)


def faults(kind: str, body: Document) -> list[str]:
    return [fault for each in translations(kind, body) for fault in each.faults()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_aws_takes_what_the_examples_say(example: str, tmp_path: Any) -> None:
    made = stack(example, tmp_path)
    tags = made["provider"]["aws"][0]["default_tags"][0]["tags"]
    refused, judged = [], 0
    for address, body in resources(made).items():
        kind = address.partition(".")[0]
        tagged = {**body, "tags": {**tags, **body.get("tags", {})}}
        refused += [f"{address} {fault}" for fault in faults(kind, tagged)]
        judged += sum(len(each.paths) for each in translations(kind, tagged))
    assert refused == []
    assert judged > 200


@pytest.mark.parametrize("kind", JUDGED)
def test_every_judge_knows_its_type(kind: str) -> None:
    assert [each.faults() for each in translations(kind, {})]
    assert faults(kind, {}) == []


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("aws_eks_node_group", {"ami_type": "AL2023_X86"}, "AL2023_X86"),
        ("aws_eks_node_group", {"capacity_type": "on_demand"}, "on_demand"),
        ("aws_eks_node_group", {"labels": {"a": "x" * 64}}, "63"),
        ("aws_eks_node_group", {"taint": [{"key": "a", "effect": "NoSchedule"}]}, "NoSchedule"),
        ("aws_eks_node_group", {"scaling_config": [{"min_size": -1}]}, "minimum"),
        ("aws_eks_cluster", {"name": "-x"}, "name"),
        ("aws_eks_cluster", {"access_config": [{"authentication_mode": "IAM"}]}, "IAM"),
        ("aws_iam_role", {"name": "a b"}, "a b"),
        ("aws_iam_role", {"name": "a" * 65}, "64"),
        ("aws_iam_role", {"name": "a", "tags": {"a": "x,y"}}, "x,y"),
        ("aws_s3_bucket_versioning", {"versioning_configuration": [{"status": "On"}]}, "On"),
        (
            "aws_s3_bucket_server_side_encryption_configuration",
            {"rule": [{"apply_server_side_encryption_by_default": [{"sse_algorithm": "AES-256"}]}]},
            "AES-256",
        ),
        ("aws_s3_bucket_lifecycle_configuration", {"rule": [{"status": "enabled"}]}, "enabled"),
        ("aws_cloudwatch_log_group", {"retention_in_days": 31}, "31"),
        ("aws_secretsmanager_secret", {"name": "x" * 513}, "512"),
        ("aws_db_instance", {"identifier": "1-x"}, "1-x"),
    ],
)
def test_the_judges_refuse_what_aws_would(kind: str, body: Document, words: str) -> None:
    found = faults(kind, body)
    assert any(words in fault for fault in found), found


# What regions offer.


def offered(region: str, document: Document) -> dict[str, list[str]]:
    """Return what cfn-lint's lists of a region say of a stack's machines and engines, by resource."""
    found = {}
    for address, body in resources(document).items():
        found[address] = [message for message in _offer_faults(region, address, body) if message]
    return {address: messages for address, messages in found.items() if messages}


def _offer_faults(region: str, address: str, body: Document) -> Iterator[str]:
    kind = address.partition(".")[0]
    if kind in ("aws_eks_node_group", "aws_launch_template"):
        for name in [*body.get("instance_types", []), *filter(None, [body.get("instance_type")])]:
            yield _refusal(list_of_cfn_lint("aws_ec2_instance", "instancetype_enum", region), name)
    if kind == "aws_db_instance":
        wanted = {
            "Engine": body["engine"],
            "EngineVersion": _newest(body["engine"], body["engine_version"]),
            "DBInstanceClass": body["instance_class"],
        }
        yield _refusal(list_of_cfn_lint("aws_rds_dbinstance", "engine_version"), wanted)
        yield _refusal(list_of_cfn_lint("aws_rds_dbinstance", "db_instance_class"), wanted)
        yield _refusal(list_of_cfn_lint("aws_rds_dbinstance", "dbinstanceclass_enum", region), wanted)
    if kind == "aws_elasticache_replication_group":
        wanted = {"Engine": body["engine"], "EngineVersion": body["engine_version"]}
        yield _refusal(list_of_cfn_lint("aws_elasticache_cachecluster", "engine_version"), wanted)
        machines = list_of_cfn_lint("aws_elasticache_cachecluster", "cachenodetype_enum", region)
        yield _refusal(machines, body["node_type"])


def _newest(engine: str, version: str) -> str:
    """Return the newest minor version of a major one: the lists of classes know no others."""
    known = list_of_cfn_lint("aws_rds_dbinstance", "engine_version")
    minors = [f"{version}.{minor}" for minor in range(40)]
    listed = [one for one in minors if known.is_valid({"Engine": engine, "EngineVersion": one})]
    return listed[-1] if listed else version


def _refusal(offered_here: jsonschema_rs.Draft7Validator, value: Any) -> str:
    error = next(offered_here.iter_errors(value), None)
    return error.message[:200] if error else ""


@pytest.mark.parametrize("size", Size)
def test_every_region_offers_what_a_size_is_made_of(size: Size, document: Callable[..., Document]) -> None:
    made = document(cluster={"profile": size}, data={"postgres": {"size": size}, "redis": {"size": size}})
    kinds = {address.partition(".")[0] for address in resources(made)}
    assert kinds >= {"aws_eks_node_group", "aws_db_instance", "aws_elasticache_replication_group"}
    regions: tuple[str, ...] = Settings.model_fields["allowed_regions"].default
    assert {region: missing for region in regions if (missing := offered(region, made))} == {}


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("aws_eks_node_group", {"instance_types": ["m6i.huge"]}, "m6i.huge"),
        ("aws_db_instance", {"instance_class": "db.m6i.huge"}, "db.m6i.huge"),
        ("aws_db_instance", {"engine_version": "17.99"}, "17.99"),
        ("aws_db_instance", {"engine": "postgresql"}, "postgresql"),
        # This class is older than this version.
        ("aws_db_instance", {"instance_class": "db.m3.large", "engine_version": "17"}, "db.m3.large"),
        ("aws_elasticache_replication_group", {"engine_version": "7.3"}, "7.3"),
        ("aws_elasticache_replication_group", {"node_type": "cache.m6g.huge"}, "cache.m6g.huge"),
    ],
)
def test_what_no_region_offers_is_told(
    kind: str, changes: Document, words: str, document: Callable[..., Document]
) -> None:
    made = document()
    made["resource"][kind]["main"].update(changes)
    (messages,) = offered("us-east-1", made).values()
    assert words in json.dumps(messages)
