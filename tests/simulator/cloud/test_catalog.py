"""The catalog's data fits the provider's schema."""

from collections.abc import Iterator
from typing import Any

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.catalog import Entry, catalog
from beta9_simulator.cloud.provider.schema import Block, read_schema

TYPES = sorted(read_schema(SCHEMA_FILE).resources)


def paths(entry: Entry) -> Iterator[str]:
    """Every attribute path that the entry names in its own type."""
    yield from (entry.name, entry.protected_by, entry.counter)
    yield from (entry.status.get("attribute", ""), *entry.late, *entry.force_new)
    yield from (*entry.computed, *entry.defaults, *entry.unread, *entry.valid, *entry.needs)
    for unique in entry.unique:
        yield from unique.by
    for link in (*entry.blocked_by, *entry.cascade):
        yield link.own


def exists(block: Block, path: str) -> bool:
    first, _, rest = path.partition(".")
    if not rest:
        return first in block["attributes"] or first in block["block_types"]
    if first in block["attributes"]:
        return True  # inside an object-typed attribute
    return first in block["block_types"] and exists(block["block_types"][first]["block"], rest)


def block_of(type: str) -> Block:
    block: Block = read_schema(SCHEMA_FILE).resources[type]["block"]
    return block


@pytest.mark.parametrize("type", TYPES)
def test_every_attribute_named_is_in_the_schema(type: str) -> None:
    entry = catalog()[type]
    unknown = {path for path in paths(entry) if path and not exists(block_of(type), path)}
    assert unknown == set()


@pytest.mark.parametrize("type", TYPES)
def test_links_lead_to_attributes_of_other_types(type: str) -> None:
    entry = catalog()[type]
    links = [*entry.blocked_by, *entry.cascade]
    links += [link.used_by for link in links if link.used_by]
    for link in links:
        assert exists(block_of(link.type), link.attribute), link
    for need in entry.needs.values():
        assert exists(block_of(need.type), need.attribute), need


@pytest.mark.parametrize("type", TYPES)
def test_values_have_the_attribute_s_type(type: str) -> None:
    entry = catalog()[type]
    python = {"string": str, "number": int, "bool": bool}
    for values in (entry.defaults, entry.computed):
        for key, value in values.items():
            attribute = block_of(type)["attributes"].get(key)
            if attribute is not None and isinstance(attribute["type"], str):
                expected: Any = python[attribute["type"]]
                assert value.__class__ is expected, (key, value)


def test_catalog_and_schema_know_the_same_types() -> None:
    assert set(catalog()) == set(TYPES)


def test_slow_types_take_as_long_as_on_aws() -> None:
    minutes = {type: catalog()[type].latency[0] / 60 for type in TYPES}
    assert 9 <= minutes["aws_eks_cluster"] <= 10
    assert 45 / 60 <= minutes["aws_eks_node_group"] <= 90 / 60
    assert 6 <= minutes["aws_db_instance"] <= 8
    assert 5 <= minutes["aws_elasticache_replication_group"] <= 10
    assert 1 <= minutes["aws_nat_gateway"] <= 2
