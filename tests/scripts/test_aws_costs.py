"""What a stack costs: only what is there is counted, and nothing that costs is forgotten."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts.aws_costs import PRICES, costs
from scripts.examples import Document, stack


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return stack("production", Path(tmp_path_factory.mktemp("out")))


def total(document: Document) -> float:
    return sum(cost.dollars for cost in costs(document))


def database(document: Document) -> Document:
    body: Document = document["resource"]["aws_db_instance"]["main"]
    return body


@pytest.mark.parametrize(
    ("change", "dollars"),
    [
        (lambda made: database(made).update(allocated_storage=200), 2 * 100 * 0.115),
        (lambda made: database(made).update(multi_az=False), -(0.159 * 730 + 100 * 0.115)),
        (lambda made: made["resource"]["aws_nat_gateway"].popitem(), -0.045 * 730),
        (lambda made: made["resource"]["aws_eip"].popitem(), -0.005 * 730),
        (
            lambda made: made["resource"]["aws_elasticache_replication_group"]["main"].update(
                num_cache_clusters=1
            ),
            -2 * 0.1192 * 730,
        ),
        (lambda made: made["resource"].update(aws_kms_key={"main": {}}), 1.0),
        (
            lambda made: made["resource"].update(
                aws_vpc_endpoint={"ecr": {"vpc_endpoint_type": "Interface", "subnet_ids": ["a", "b"]}}
            ),
            2 * 0.01 * 730,
        ),
    ],
)
def test_a_change_costs_what_it_costs(
    change: Callable[[Document], object], dollars: float, production: Document
) -> None:
    changed = copy.deepcopy(production)
    change(changed)
    assert total(changed) - total(production) == pytest.approx(dollars)


def test_parts_of_a_kind_are_one_line(production: Document) -> None:
    kinds = [cost.what for cost in costs(production)]
    assert len(kinds) == len(set(kinds))
    assert PRICES["region"] == "us-east-1"


def test_a_type_that_nobody_priced_is_told(production: Document) -> None:
    changed = copy.deepcopy(production)
    changed["resource"]["aws_memorydb_cluster"] = {"main": {}}
    with pytest.raises(ValueError, match=r"aws_memorydb_cluster\.main: what does it cost"):
        costs(changed)
    database(changed)["instance_class"] = "db.x9.huge"
    del changed["resource"]["aws_memorydb_cluster"]
    with pytest.raises(KeyError, match=r"db\.x9\.huge"):
        costs(changed)
