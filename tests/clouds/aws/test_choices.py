"""What is chosen for an environment, and stays."""

import json
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from tests.clouds.aws.conftest import Customer
from tests.support.configs import config
from tests.support.stacks import BACKEND, ENVIRONMENT_ID, WORKERS_FROM, ZONES, synthesized

from beta9_provisioning.clouds.aws import zones
from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.choices import Choices, NetworkChoice, Zone
from beta9_provisioning.clouds.aws.cloud import Aws
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.schemas.configuration import Nat, Size
from beta9_simulator.cloud import offerings


def test_zones_are_the_accounts_own_and_none_that_eks_refuses(customer: Customer) -> None:
    made = AwsAccount(customer.target).choose(config())
    ids = [zone["id"] for zone in made["zones"]]
    assert ids == ["use1-az1", "use1-az2", "use1-az4"]
    other = AwsAccount(replace(customer.target, region="us-west-1")).choose(config())
    assert [zone["id"] for zone in other["zones"]] == ["usw1-az1", "usw1-az3"]


def test_a_zone_without_the_nodes_types_is_not_chosen(customer: Customer) -> None:
    offerings.without(customer.store, customer.target.account_id, "t3.medium", ["use1-az1"])
    account = AwsAccount(customer.target)
    assert [zone["id"] for zone in account.choose(config())["zones"]] == ["use1-az2", "use1-az4", "use1-az5"]
    with pytest.raises(AwsError, match="no zone use1-az1 that EKS takes and that offers the nodes' types"):
        account.choose(config(cloud__zones=["use1-az1", "use1-az2"]))


def test_a_user_chooses_zones_and_is_told_which_there_are(customer: Customer) -> None:
    account = AwsAccount(customer.target)
    made = account.choose(config(cloud__zones=["use1-az6", "use1-az1"]))
    assert [zone["id"] for zone in made["zones"]] == ["use1-az6", "use1-az1"]
    with pytest.raises(AwsError, match="no zone use1-az3, use1-az9 that EKS takes") as refused:
        account.choose(config(cloud__zones=["use1-az3", "use1-az1", "use1-az9"]))
    assert refused.value.code == "zones_unavailable"
    assert "use1-az1 (us-east-1" in refused.value.detail


def test_too_few_zones_are_refused_before_anything_is_made() -> None:
    with pytest.raises(AwsError, match="has 1 zones that EKS takes, and an environment needs 2"):
        zones.choose([Zone(id="use1-az1", name="us-east-1a")], None)


def test_pods_are_kept_from_the_data_subnets_and_the_instance_metadata() -> None:
    made = Choices.first(config(), ZONES)
    guarded = Aws().guarded_networks(made.model_dump(mode="json"))
    assert set(guarded) == {*made.network.data, "169.254.169.254/32"}
    assert len(guarded) == len(ZONES) + 1


def test_where_the_stores_have_no_network_of_their_own_only_the_metadata_is_guarded() -> None:
    assert Aws().guarded_networks(Aws().earlier_choices(config())) == ("169.254.169.254/32",)


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "192.168.16.0/20", "100.64.0.0/18"])
def test_subnets_fill_the_range_and_share_no_address(cidr: str) -> None:
    ranges = Choices.first(config(network__cidr=cidr), ZONES).network
    subnets = [IPv4Network(one) for one in (*ranges.public, *ranges.private, *ranges.data)]
    assert len(subnets) == 9
    assert all(one.subnet_of(IPv4Network(cidr)) for one in subnets)
    assert not [(one, two) for one in subnets for two in subnets if one is not two and one.overlaps(two)]
    # AWS takes none that is smaller than /28; a node with prefix delegation takes blocks of sixteen.
    assert max(one.prefixlen for one in subnets) <= 26
    assert all(IPv4Network(one).prefixlen == IPv4Network(cidr).prefixlen + 2 for one in ranges.private)


@pytest.mark.parametrize(
    ("profile", "wanted", "nat"),
    [
        (Size.SMALL, None, Nat.SINGLE),
        (Size.MEDIUM, None, Nat.PER_ZONE),
        (Size.SMALL, "per_zone", Nat.PER_ZONE),
        (Size.LARGE, "single", Nat.SINGLE),
    ],
)
def test_the_profile_chooses_nat_gateways_unless_the_user_does(
    profile: Size, wanted: str | None, nat: Nat
) -> None:
    made = Choices.first(config(cluster__profile=profile.value, network__nat=wanted), ZONES)
    assert isinstance(made.network, NetworkChoice)
    assert made.network.nat is nat


def test_a_document_is_read_as_it_was_written() -> None:
    made = Choices.first(config(), ZONES)
    assert Choices.model_validate(made.model_dump(mode="json")) == made


def test_subnets_are_placed_by_id(tmp_path: Path) -> None:
    subnets = synthesized(tmp_path)["resource"]["aws_subnet"]
    assert {subnet["availability_zone_id"] for subnet in subnets.values()} == {zone.id for zone in ZONES}
    assert not [subnet for subnet in subnets.values() if "availability_zone" in subnet]


@pytest.mark.parametrize(
    ("region", "names"),
    [
        ("eu-west-1", ["eu-west-1a", "eu-west-1b"]),
        ("ap-northeast-1", ["ap-northeast-1a", "ap-northeast-1c"]),
    ],
)
def test_earlier_releases_placed_by_letter(region: str, names: list[str]) -> None:
    made = Aws().earlier_choices(config(cloud__region=region))
    assert made["zones"] == [{"id": None, "name": name} for name in names]
    assert made["kubernetes"]["version"] == "1.34"


def test_stores_of_earlier_releases_stay_as_they_were_made(tmp_path: Path) -> None:
    """Other names would replace what is in use; a password, or other subnets, would cut off who uses it."""
    wanted = config()
    subject = Subject(wanted, ENVIRONMENT_ID, Aws().earlier_choices(wanted), BACKEND, WORKERS_FROM)
    document = json.loads((synthesize(subject, tmp_path) / "cdk.tf.json").read_text())
    resources = document["resource"]
    assert "variable" not in document
    assert "redis_username" not in document["output"]
    assert not {"aws_elasticache_user", "aws_elasticache_user_group"} & set(resources)
    valkey = resources["aws_elasticache_replication_group"]["main"]
    assert "user_group_ids" not in valkey
    assert valkey["engine_version"] == "7.2"
    assert resources["aws_elasticache_parameter_group"]["main"]["name"] == "beta9-c3d4e5f6g7h8-redis"
    assert resources["aws_db_instance"]["main"]["engine_version"] == "17"
    assert resources["aws_db_parameter_group"]["main"]["family"] == "postgres17"
    private = [f"${{aws_subnet.private_{index}.id}}" for index in range(2)]
    assert resources["aws_db_subnet_group"]["main"]["subnet_ids"] == private
