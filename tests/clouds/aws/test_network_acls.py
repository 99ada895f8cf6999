"""Network ACLs as AWS evaluates them."""

from ipaddress import IPv4Network

import pytest

from beta9_provisioning.clouds.aws.network_acls import (
    ANYWHERE,
    EPHEMERAL,
    REST,
    TCP,
    UDP,
    Traffic,
    entries,
    refused,
)
from beta9_simulator.cloud.network_acls import entry

INSIDE = IPv4Network("10.0.1.0/24")
HTTPS = Traffic(TCP, ANYWHERE, (443, 443))


def shares(wanted: Traffic, *told: dict[str, object]) -> dict[int, float]:
    return refused(entries(told, egress=True), wanted)  # type: ignore[arg-type]


def rule(number: int, action: str, cidr: str = "0.0.0.0/0", **more: object) -> dict[str, object]:
    return entry(number, action, egress=True, cidr=cidr, **more)  # type: ignore[arg-type]


def test_the_lowest_number_that_fits_decides_whatever_the_order_of_the_answer() -> None:
    assert shares(HTTPS, rule(200, "allow"), rule(100, "deny")) == {100: 1.0}
    assert shares(HTTPS, rule(200, "deny"), rule(100, "allow")) == {}


def test_what_fits_no_entry_is_refused_by_the_last_one() -> None:
    assert shares(HTTPS) == {REST: 1.0}
    assert shares(HTTPS, rule(100, "allow", protocol=UDP), rule(REST, "deny")) == {REST: 1.0}


@pytest.mark.parametrize(
    ("ports", "share"), [((443, 443), 0.0), ((80, 443), 0.0), ((0, 65535), 0.0), ((444, 500), 1.0)]
)
def test_ports_count(ports: tuple[int, int], share: float) -> None:
    assert sum(shares(HTTPS, rule(100, "allow", protocol=TCP, ports=ports)).values()) == share


def test_a_part_of_the_ports_is_told_as_a_share() -> None:
    back = Traffic(TCP, ANYWHERE, EPHEMERAL)
    upper = rule(100, "allow", protocol=TCP, ports=(32768, 65535))
    assert shares(back, upper)[REST] == pytest.approx(0.492, abs=0.001)
    remote = rule(90, "deny", protocol=TCP, ports=(3389, 3389))
    assert shares(back, remote, rule(100, "allow")) == {90: pytest.approx(1 / 64512)}


def test_a_part_of_the_addresses_is_told_as_a_share() -> None:
    wanted = Traffic(TCP, INSIDE, (5432, 5432))
    assert shares(wanted, rule(100, "allow", "10.0.0.0/16")) == {}
    assert shares(wanted, rule(100, "allow", "10.0.1.0/25")) == {REST: 0.5}
    assert shares(wanted, rule(90, "deny", "10.0.1.7/32"), rule(100, "allow")) == {90: 1 / 256}
    assert shares(wanted, rule(100, "allow", "10.0.2.0/24")) == {REST: 1.0}


def test_two_entries_may_allow_a_range_together() -> None:
    halves = rule(100, "allow", "0.0.0.0/1"), rule(110, "allow", "128.0.0.0/1")
    assert shares(HTTPS, *halves) == {}


def test_a_denied_part_of_an_allowed_range_is_found_where_both_cut_the_same_box() -> None:
    wanted = Traffic(TCP, INSIDE, (1000, 1999))
    found = shares(
        wanted,
        rule(10, "allow", "10.0.1.0/26", protocol=TCP, ports=(1500, 1999)),
        rule(20, "deny", "10.0.1.0/25"),
        rule(30, "allow"),
    )
    assert found == {20: pytest.approx(0.5 - 0.25 * 0.5)}


def test_directions_and_ipv6_are_told_apart() -> None:
    inbound = entry(100, "allow", egress=False)
    six = {"RuleNumber": 90, "RuleAction": "deny", "Egress": True, "Protocol": "-1", "Ipv6CidrBlock": "::/0"}
    assert shares(HTTPS, inbound) == {REST: 1.0}
    assert shares(HTTPS, six, rule(100, "allow")) == {}
