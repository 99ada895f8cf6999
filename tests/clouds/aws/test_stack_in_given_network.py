"""The stack of an environment in a network of the user's: nothing of the network is in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.networks import in_own_network
from tests.support.stacks import BACKEND, ENVIRONMENT_ID, OUTPUTS, WORKERS_FROM, ZONES

from beta9_provisioning.clouds.aws.choices import Choices, GivenNetwork
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.synthesis.subject import Subject

GIVEN = GivenNetwork(
    vpc_id="vpc-00000001",
    service_cidr="172.21.0.0/16",
    private=("subnet-00000011", "subnet-00000012"),
    public=("subnet-00000021", "subnet-00000022"),
    data=("subnet-00000031", "subnet-00000032"),
)
NETWORKS = {
    "aws_default_security_group",
    "aws_eip",
    "aws_flow_log",
    "aws_internet_gateway",
    "aws_nat_gateway",
    "aws_route",
    "aws_route_table",
    "aws_route_table_association",
    "aws_subnet",
    "aws_vpc",
    "aws_vpc_endpoint",
}


@pytest.fixture
def resources(tmp_path: Path) -> dict[str, Any]:
    wanted = in_own_network()
    choices = Choices.first(wanted, ZONES[:2], network=GIVEN).model_dump(mode="json")
    made = synthesize(Subject(wanted, ENVIRONMENT_ID, choices, BACKEND, WORKERS_FROM), tmp_path / "out")
    document: dict[str, Any] = json.loads((made / "cdk.tf.json").read_text())
    assert set(document["output"]) == OUTPUTS
    found: dict[str, Any] = document["resource"]
    return found


def test_it_holds_nothing_of_the_network_and_is_in_the_subnets_that_were_named(
    resources: dict[str, Any],
) -> None:
    assert NETWORKS & set(resources) == set()
    cluster = resources["aws_eks_cluster"]["main"]
    assert cluster["vpc_config"][0]["subnet_ids"] == list(GIVEN.private)
    assert cluster["kubernetes_network_config"] == [{"service_ipv4_cidr": "172.21.0.0/16"}]
    for group in resources["aws_eks_node_group"].values():
        assert group["subnet_ids"] == list(GIVEN.private)
    for kind in ("aws_db_subnet_group", "aws_elasticache_subnet_group"):
        assert resources[kind]["main"]["subnet_ids"] == list(GIVEN.data)
    assert {group["vpc_id"] for group in resources["aws_security_group"].values()} == {"vpc-00000001"}
    assert "flow-log" not in json.dumps(resources["aws_iam_role"])
