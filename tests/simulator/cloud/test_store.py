"""The store: states that follow the clock, one truth for many processes."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from beta9_simulator.cloud.inventory import bucket_objects, inventory
from beta9_simulator.cloud.store import NewObject, Store


def new(id: str = "vpc-1", **changes: Any) -> NewObject:
    values = {"account": "1", "region": "r", "type": "aws_vpc", "id": id, "name": "n", "state": {}}
    return NewObject(**{**values, **changes})


def refuse() -> None:
    raise ValueError("refused")


def test_an_object_is_creating_and_then_available_by_the_clock(store: Store) -> None:
    assert store.create(new(), seconds=3600).status == "creating"
    store.execute("update objects set busy_until=0")
    assert store.find("aws_vpc")[0].status == "available"


def test_an_object_is_deleting_and_then_gone_by_the_clock(store: Store) -> None:
    made = store.create(new())
    store.delete(made, seconds=3600)
    assert store.find("aws_vpc")[0].status == "deleting"
    with pytest.raises(sqlite3.IntegrityError):
        store.create(new())
    store.execute("update objects set busy_until=0")
    assert store.find("aws_vpc") == []
    assert store.create(new()).uid != made.uid


def test_an_update_changes_attributes_and_tags_at_once(store: Store) -> None:
    made = store.create(new(state={"a": 1, "tags": {"k": "1"}}))
    store.update(made, {"a": 2, "tags": {"k": "1"}, "tags_all": {"k": "1", "env": "e"}}, seconds=3600)
    (found,) = store.find("aws_vpc")
    assert (found.state["a"], found.tags, found.status) == (2, {"k": "1", "env": "e"}, "updating")


def test_a_check_that_refuses_leaves_no_trace(store: Store) -> None:
    with pytest.raises(ValueError, match="refused"):
        store.create(new(), check=refuse)
    made = store.create(new("vpc-2"))
    with pytest.raises(ValueError, match="refused"):
        store.delete(made, check=refuse)
    assert [(item.id, item.status) for item in store.find()] == [("vpc-2", "available")]
    assert [operation.op for operation in store.operations()] == ["create"]


def test_objects_are_kept_apart_by_account_and_region(store: Store) -> None:
    for account, region in (("1", "r"), ("1", "s"), ("2", "r")):
        store.create(new(account=account, region=region))
    assert len(store.find("aws_vpc", id="vpc-1")) == 3
    assert len(store.find(account="1")) == 2
    assert store.get("2", "s", "aws_vpc", "vpc-1") is None


def test_put_replaces_what_has_the_same_key(store: Store) -> None:
    store.create(new(state={"a": 1}))
    store.create(new(state={"a": 2}), replace=True)
    assert [item.state for item in store.find()] == [{"a": 2}]


def test_faults_are_used_up(store: Store) -> None:
    store.inject_fault("aws_vpc", "create", "Limit", "too many", count=2)
    store.inject_fault("*", "delete", "Down")
    assert store.take_fault("aws_subnet", "create") is None
    assert [fault.summary for _ in range(2) if (fault := store.take_fault("aws_vpc", "create"))] == [
        "Limit"
    ] * 2
    assert store.take_fault("aws_vpc", "create") is None
    assert store.take_fault("aws_eip", "delete") is not None
    assert store.take_fault("aws_eip", "delete") is None


def test_the_log_names_every_operation(store: Store) -> None:
    made = store.create(new())
    store.update(made, {})
    store.delete(made)
    assert [(entry.op, entry.type, entry.id) for entry in store.operations()] == [
        ("create", "aws_vpc", "vpc-1"),
        ("update", "aws_vpc", "vpc-1"),
        ("delete", "aws_vpc", "vpc-1"),
    ]


def test_settings_have_defaults(store: Store) -> None:
    assert store.time_scale == 0
    store.set_setting("time_scale", "0.5")
    assert store.time_scale == 0.5
    assert store.setting("kube_url", "none") == "none"


def test_the_inventory_leaves_out_what_was_seeded(store: Store) -> None:
    store.create(new(origin="seed"))
    store.create(new("vpc-2"))
    assert [item.id for item in inventory(store)] == ["vpc-2"]
    assert bucket_objects(store) == {}


def test_only_one_of_many_gets_a_name(store: Store) -> None:
    def attempt(_: int) -> bool:
        try:
            store.create(new())
        except sqlite3.IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def test_another_process_sees_the_same(store: Store) -> None:
    program = (
        "import sys; from pathlib import Path; from beta9_simulator.cloud.store import *;"
        "Store(Path(sys.argv[1])).create(NewObject('1', 'r', 'aws_vpc', 'vpc-9', '', {}))"
    )
    subprocess.run([sys.executable, "-c", program, str(store.path)], check=True)
    assert [item.id for item in store.find()] == ["vpc-9"]
