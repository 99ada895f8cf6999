"""A network of the user's in a configuration: what goes together, and what is refused and where."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.configs import config
from tests.support.networks import DATA, PRIVATE, PUBLIC, VPC, in_own_network

GCP = {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}


def test_a_vpc_and_its_private_subnets_are_enough() -> None:
    wanted = in_own_network(network={"vpc_id": VPC, "private_subnet_ids": PRIVATE[:2]}).network
    assert (wanted.public_subnet_ids, wanted.data_subnet_ids) == (None, None)
    # The range of a network that is made is not that of this one.
    in_own_network(network__service_cidr="10.0.0.0/20")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"network": {"vpc_id": VPC}}, "private_subnet_ids", "are required with vpc_id"),
        ({"network": {"private_subnet_ids": PRIVATE}}, "private_subnet_ids", "name it in vpc_id"),
        ({"network": {"data_subnet_ids": DATA}}, "data_subnet_ids", "which is not named"),
        ({"network": {"public_subnet_ids": PUBLIC}}, "public_subnet_ids", "which is not named"),
        ({"network__nat": "single"}, "nat", "is for a network that is made"),
        ({"network__cidr": "10.1.0.0/16"}, "cidr", "is for a network that is made"),
        ({"network__flow_log_days": 7}, "flow_log_days", "is for a network that is made"),
        ({"network__vpc_id": "vpc-1"}, "vpc_id", "match pattern"),
        ({"network__private_subnet_ids": PRIVATE[:1]}, "private_subnet_ids", "at least 2 items"),
        ({"network__data_subnet_ids": ["x", "y"]}, "data_subnet_ids", "match pattern"),
        ({"network__public_subnet_ids": PUBLIC[:1] * 2}, "public_subnet_ids", "names a subnet twice"),
        ({"network__data_subnet_ids": [*DATA[:1], *PRIVATE[:1]]}, "data_subnet_ids", "another list names"),
        ({"cloud__zones": ["use1-az1", "use1-az2"]}, "zones", "are those of the subnets of your VPC"),
        ({"cloud": GCP}, "vpc_id", "belongs to provider aws only"),
    ],
)
def test_what_does_not_go_together(changes: dict[str, Any], field: str, words: str) -> None:
    make = config if "network" in changes else in_own_network
    with pytest.raises(ValidationError) as caught:
        make(**changes)
    told = {(str(fault["loc"]), fault["msg"]) for fault in caught.value.errors()}
    assert any(field in where and words in message for where, message in told), told
