"""Sizes in AWS."""

from beta9_provisioning.clouds.aws.sizes import SIZES
from beta9_provisioning.schemas.configuration import Size


def test_every_size_is_defined_and_none_shrinks() -> None:
    assert set(SIZES) == set(Size)
    nodes = [SIZES[size].nodes for size in (Size.SMALL, Size.MEDIUM, Size.LARGE)]
    assert all(node.minimum <= node.desired <= node.maximum for node in nodes)
    assert [node.maximum for node in nodes] == sorted(node.maximum for node in nodes)
