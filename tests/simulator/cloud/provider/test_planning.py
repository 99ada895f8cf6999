"""Planned states: defaults, computed values, nested blocks, sets, write-only attributes, replacement."""

from typing import Any

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.provider.planning import ProviderDefaults, plan
from beta9_simulator.cloud.provider.schema import Block, read_schema
from beta9_simulator.cloud.provider.values import UNKNOWN, conform, decode, encode, is_known

DEFAULTS = ProviderDefaults("eu-west-1", {"env": "e1"})


def block(type: str) -> Block:
    block: Block = read_schema(SCHEMA_FILE).resources[type]["block"]
    return block


def planned(
    type: str, proposed: dict[str, Any], prior: dict[str, Any] | None = None
) -> tuple[Any, list[str]]:
    before = None if prior is None else conform(block(type), prior)
    return plan(catalog()[type], block(type), before, conform(block(type), proposed), DEFAULTS)


def test_a_create_takes_defaults_and_leaves_computed_values_unknown() -> None:
    state, replaced = planned("aws_vpc", {"cidr_block": "10.0.0.0/16", "tags": {"a": "b"}})
    assert (state["instance_tenancy"], state["region"]) == ("default", "eu-west-1")
    assert state["tags_all"] == {"env": "e1", "a": "b"}
    assert state["id"] is UNKNOWN
    assert state["arn"] is UNKNOWN
    assert replaced == []


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (None, {"env": "e1"}),
        ({"env": "own"}, {"env": "own"}),
        (UNKNOWN, UNKNOWN),
        ({"a": UNKNOWN}, {"env": "e1", "a": UNKNOWN}),
    ],
)
def test_tags_of_the_resource_win_over_default_tags(tags: Any, expected: Any) -> None:
    state, _ = planned("aws_vpc", {"tags": tags})
    assert state["tags_all"] == expected


def test_write_only_values_are_not_planned() -> None:
    state, _ = planned("aws_db_instance", {"password_wo": "secret", "password_wo_version": 1})
    assert (state["password_wo"], state["password_wo_version"]) == (None, 1)


def test_defaults_and_unknowns_reach_into_blocks() -> None:
    state, _ = planned("aws_eks_cluster", {"name": "c", "vpc_config": [{"subnet_ids": ["s"]}]})
    (vpc,) = state["vpc_config"]
    assert (vpc["endpoint_public_access"], vpc["vpc_id"]) == (True, UNKNOWN)


def settled(state: Any) -> Any:
    """A planned state as if it had been applied."""
    if isinstance(state, dict):
        return {key: settled(value) for key, value in state.items()}
    if isinstance(state, list):
        return [settled(value) for value in state]
    return "known" if state is UNKNOWN else state


def test_a_new_block_of_a_set_is_completed_and_old_ones_stay() -> None:
    prior, _ = planned("aws_secretsmanager_secret", {"name": "n", "replica": [{"region": "a"}]})
    before = settled(prior)
    proposed = {**before, "replica": [*before["replica"], {"region": "b"}]}
    state, _ = planned("aws_secretsmanager_secret", proposed, before)
    old, new = state["replica"]
    assert (old["status"], new["status"]) == ("known", UNKNOWN)


def test_only_changes_to_what_is_marked_replace() -> None:
    prior = settled(planned("aws_eks_cluster", {"name": "c", "vpc_config": [{"subnet_ids": ["s"]}]})[0])
    assert planned("aws_eks_cluster", prior, prior)[1] == []
    assert planned("aws_eks_cluster", {**prior, "version": "1.35"}, prior)[1] == []
    assert planned("aws_eks_cluster", {**prior, "name": "d"}, prior)[1] == ["name"]
    assert planned("aws_eks_cluster", {**prior, "role_arn": UNKNOWN}, prior)[1] == ["role_arn"]


def test_the_order_of_a_set_does_not_replace() -> None:
    prior = settled(planned("aws_eks_node_group", {"cluster_name": "c", "subnet_ids": ["a", "b"]})[0])
    assert planned("aws_eks_node_group", {**prior, "subnet_ids": ["b", "a"]}, prior)[1] == []
    assert planned("aws_eks_node_group", {**prior, "subnet_ids": ["b"]}, prior)[1] == ["subnet_ids"]


def test_the_version_of_a_launch_template_is_new_with_every_change() -> None:
    prior = settled(planned("aws_launch_template", {"name": "n"})[0])
    assert planned("aws_launch_template", prior, prior)[0] == prior
    assert (
        planned("aws_launch_template", {**prior, "image_id": "ami-1"}, prior)[0]["latest_version"] is UNKNOWN
    )


def test_values_survive_the_wire() -> None:
    value = {"a": [1, 2.5, "x", None, True], "b": UNKNOWN, "c": {"d": UNKNOWN}}
    assert decode(encode(value)) == value
    assert not is_known(value)
    with pytest.raises(TypeError, match="cannot hold a set"):
        encode({"a": {1}})
