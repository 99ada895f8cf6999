"""Where a route table leads what goes to the internet."""

from typing import Any

import pytest

from beta9_provisioning.clouds.aws.network_routes import Way, table_of, way

LOCAL: Any = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}


def route(destination: str = "0.0.0.0/0", *, state: str = "active", **target: str) -> dict[str, Any]:
    return {"DestinationCidrBlock": destination, "State": state, **target}


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([], Way.NONE),
        ([route(NatGatewayId="nat-1")], Way.ONWARD),
        ([route(TransitGatewayId="tgw-1")], Way.ONWARD),
        ([route(InstanceId="i-1", NetworkInterfaceId="eni-1")], Way.ONWARD),
        ([route(GatewayId="vgw-1")], Way.ONWARD),
        ([route(GatewayId="vpce-1")], Way.ONWARD),
        ([route(CoreNetworkArn="arn:aws:networkmanager::1:core-network/c")], Way.ONWARD),
        ([route(GatewayId="igw-1")], Way.INTERNET_GATEWAY),
        ([route(VpcPeeringConnectionId="pcx-1")], Way.PEERING),
        ([route(NatGatewayId="nat-1", state="blackhole")], Way.BLACKHOLE),
        ([route("10.0.0.0/8", TransitGatewayId="tgw-1")], Way.NONE),
        ([route("0.0.0.0/1", NatGatewayId="nat-1")], Way.NONE),
        ([route("0.0.0.0/1", NatGatewayId="n"), route("128.0.0.0/1", NatGatewayId="n")], Way.ONWARD),
        (
            [
                route(GatewayId="igw-1"),
                *(route(half, NatGatewayId="n") for half in ("0.0.0.0/1", "128.0.0.0/1")),
            ],
            Way.ONWARD,
        ),
        ([{"DestinationIpv6CidrBlock": "::/0", "GatewayId": "igw-1", "State": "active"}], Way.NONE),
        ([{"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"}], Way.NONE),
    ],
)
def test_ways(routes: list[Any], expected: Way) -> None:
    assert way([LOCAL, *routes]) is expected


def test_a_subnet_without_a_table_of_its_own_has_the_main_one() -> None:
    main: Any = {"RouteTableId": "rtb-main", "Associations": [{"Main": True}]}
    own: Any = {"RouteTableId": "rtb-own", "Associations": [{"Main": False, "SubnetId": "subnet-1"}]}
    tables: list[Any] = [main, own]
    assert table_of("subnet-1", tables) is own
    assert table_of("subnet-2", tables) is main
    assert table_of("subnet-2", tables[1:]) is None
