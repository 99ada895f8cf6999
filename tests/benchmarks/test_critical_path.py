"""The chain of creations that nobody can be faster than."""

from typing import Any

import pytest
from benchmarks.critical_path import Chain, longest_chain

SECONDS = {"aws_vpc.a": 2.0, "aws_eks_cluster.a": 600.0, "aws_db_instance.a": 640.0, "aws_eks_addon.a": 45.0}
DOCUMENT: dict[str, Any] = {
    "resource": {
        "aws_vpc": {"a": {"//": {"note": "aws_db_instance.a"}}},
        "aws_eks_cluster": {"a": {"vpc": "${aws_vpc.a.id}", "role": "${aws_iam_role.elsewhere.arn}"}},
        "aws_db_instance": {"a": {"name": "alone"}},
        "aws_eks_addon": {"a": {"cluster": "x", "depends_on": ["aws_eks_cluster.a"]}},
    }
}


def test_the_longest_chain_counts_references_and_depends_on() -> None:
    chain = longest_chain(DOCUMENT, SECONDS.__getitem__)
    assert chain == Chain(("aws_vpc.a", "aws_eks_cluster.a", "aws_eks_addon.a"), 647.0)


def test_what_nothing_waits_for_may_be_the_chain() -> None:
    assert longest_chain(DOCUMENT, (SECONDS | {"aws_db_instance.a": 660.0}).__getitem__) == Chain(
        ("aws_db_instance.a",), 660.0
    )


def test_a_circle_is_an_error() -> None:
    document = {"resource": {"aws_vpc": {"a": {"x": "aws_vpc.b"}, "b": {"x": "aws_vpc.a"}}}}
    with pytest.raises(ValueError, match="cycle"):
        longest_chain(document, lambda _: 1.0)
