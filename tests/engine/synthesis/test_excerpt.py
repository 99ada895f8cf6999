"""A part of a stack for an import: what it refers to is in it, and no change is made."""

import json
from typing import Any

from beta9_provisioning.engine.synthesis.excerpt import excerpt

BARE = {"terraform": {"required_providers": {"aws": {}}}, "provider": {"aws": [{}]}}
STACK: dict[str, Any] = {
    "terraform": {"required_version": "x"},
    "output": {"id": {"value": "${aws_vpc.main.id}"}},
    "variable": {"password": {"type": "string", "ephemeral": True}},
    "resource": {
        "aws_vpc": {"main": {"cidr_block": "10.0.0.0/16", "lifecycle": {"create_before_destroy": True}}},
        "aws_subnet": {
            "a": {"vpc_id": "${aws_vpc.main.id}", "depends_on": ["aws_vpc.main", "aws_eip.nat"]},
            "b": {"vpc_id": "${aws_vpc.main.id}"},
        },
        "aws_eip": {"nat": {}},
        "aws_nat_gateway": {"main": {"address": "${aws_eip.nat.id}", "subnet_id": "${aws_subnet.a.id}"}},
        "aws_route": {"out": {"gateways": ["x ${aws_nat_gateway.main.id}", "y ${aws_eip.nat.id}"]}},
    },
}


def part(*addresses: str) -> dict[str, Any]:
    return excerpt(json.dumps(STACK).encode(), addresses, BARE)


def test_a_part_is_bare_but_for_its_resources_of_which_it_changes_nothing() -> None:
    made = part("aws_vpc.main", "aws_subnet.a", "aws_alien.main")
    untouched = {"ignore_changes": "all"}
    assert made == BARE | {
        "resource": {
            "aws_vpc": {"main": {"cidr_block": "10.0.0.0/16", "lifecycle": untouched}},
            "aws_subnet": {
                "a": {
                    "vpc_id": "${aws_vpc.main.id}",
                    "depends_on": ["aws_vpc.main"],
                    "lifecycle": untouched,
                }
            },
        },
        "variable": {
            "password": {"type": "string", "ephemeral": True, "default": "not-used-by-an-import"},
        },
    }


def test_what_refers_to_what_is_not_there_does_not_know_it() -> None:
    found = part("aws_subnet.a", "aws_nat_gateway.main", "aws_route.out")["resource"]
    unknown = "${timestamp()}"
    assert found["aws_subnet"]["a"] == {"vpc_id": unknown, "lifecycle": {"ignore_changes": "all"}}
    assert found["aws_nat_gateway"]["main"]["address"] == unknown
    assert found["aws_nat_gateway"]["main"]["subnet_id"] == "${aws_subnet.a.id}"
    assert found["aws_route"]["out"]["gateways"] == ["x ${aws_nat_gateway.main.id}", f"y {unknown}"]
