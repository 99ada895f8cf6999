"""Sizes and zones in AWS."""

import pytest

from beta9_provisioning.clouds.aws.sizes import SIZES
from beta9_provisioning.clouds.aws.sizes import zones as zones_of
from beta9_provisioning.schemas.configuration import Size


def test_every_size_is_defined_and_none_shrinks() -> None:
    assert set(SIZES) == set(Size)
    nodes = [SIZES[size].nodes for size in (Size.SMALL, Size.MEDIUM, Size.LARGE)]
    assert all(node.minimum <= node.desired <= node.maximum for node in nodes)
    assert [node.maximum for node in nodes] == sorted(node.maximum for node in nodes)


@pytest.mark.parametrize(
    ("region", "zones"),
    [
        ("eu-west-1", ("eu-west-1a", "eu-west-1b")),
        ("ap-northeast-1", ("ap-northeast-1a", "ap-northeast-1c")),
    ],
)
def test_an_environment_spans_two_zones(region: str, zones: tuple[str, str]) -> None:
    assert zones_of(region) == zones
