"""Operations without Terraform: waiting, stopping, retrying, cascades, and what a read shows meanwhile."""

import threading
import time
from typing import Any

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.provider.operations import Operations, Stopped
from beta9_simulator.cloud.provider.schema import read_schema
from beta9_simulator.cloud.provider.values import UNKNOWN, conform
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store

ACCOUNT, REGION, ROLE = "123456789012", "us-east-1", "arn:aws:iam::123456789012:role/r"


def caller(arn: str) -> Principal:
    """Somebody who may do everything."""
    return Principal("", "", "", arn, ACCOUNT, None, "")


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def operations(store: Store, stopping: threading.Event) -> Operations:
    return Operations(store, caller(ROLE), REGION, stopping)


def create(operations: Operations, type: str, **config: Any) -> dict[str, Any]:
    """Create an object whose computed attributes are all unknown."""
    block = read_schema(SCHEMA_FILE).resources[type]["block"]
    planned = conform(block, config)
    for key, attribute in block["attributes"].items():
        if planned[key] is None and attribute.get("computed") and key != "region":
            planned[key] = UNKNOWN
    return operations.create(type, block, planned, config)


def gateway(store: Store, vpc: str) -> Any:
    state = {"id": "igw-1", "vpc_id": vpc}
    return store.create(NewObject(ACCOUNT, REGION, "aws_internet_gateway", "igw-1", "", state))


def test_a_delete_waits_for_what_depends_on_it(operations: Operations, store: Store) -> None:
    vpc = create(operations, "aws_vpc", cidr_block="10.0.0.0/16")
    dependent = gateway(store, vpc["id"])
    there: list[str] = []

    class Pauses(threading.Event):
        """Takes the place of waiting for a stop; in the second pause the dependent goes."""

        def wait(self, timeout: float | None = None) -> bool:
            there.extend(found.id for found in store.find("aws_vpc"))
            if len(there) == 2:
                store.delete(dependent)
                store.set_setting("time_scale", "0")
            return self.is_set()

    store.set_setting("time_scale", "1")
    Operations(store, caller(ROLE), REGION, Pauses()).delete("aws_vpc", vpc)
    assert there == [vpc["id"]] * 2
    assert store.find("aws_vpc") == []


def test_a_delete_that_stays_blocked_fails(operations: Operations, store: Store) -> None:
    vpc = create(operations, "aws_vpc", cidr_block="10.0.0.0/16")
    gateway(store, vpc["id"])
    with pytest.raises(CloudError, match="DependencyViolation"):
        operations.delete("aws_vpc", vpc)


def test_what_is_being_deleted_still_blocks(operations: Operations, store: Store) -> None:
    vpc = create(operations, "aws_vpc", cidr_block="10.0.0.0/16")
    store.delete(gateway(store, vpc["id"]), seconds=3600)
    with pytest.raises(CloudError, match="DependencyViolation"):
        operations.delete("aws_vpc", vpc)


def test_a_stop_ends_every_wait(operations: Operations, store: Store, stopping: threading.Event) -> None:
    vpc = create(operations, "aws_vpc", cidr_block="10.0.0.0/16")
    gateway(store, vpc["id"])
    store.set_setting("time_scale", "1")
    stopping.set()
    with pytest.raises(Stopped):
        operations.delete("aws_vpc", vpc)
    with pytest.raises(Stopped) as stopped:
        create(operations, "aws_kms_key")
    assert stopped.value.target.status == "creating"


def test_a_database_has_no_endpoint_before_it_is_available(operations: Operations, store: Store) -> None:
    state = create(
        operations,
        *("aws_db_instance",),
        identifier="main",
        engine="postgres",
        instance_class="db.t3.micro",
        allocated_storage=20,
    )
    assert state["endpoint"].startswith("main.")
    store.execute("update objects set busy_until=?, phase='creating'", time.time() + 3600)
    seen = operations.read("aws_db_instance", state)
    assert seen is not None
    assert (seen["status"], seen["endpoint"]) == ("creating", None)


def test_an_unread_attribute_stays_terraform_s(operations: Operations, store: Store) -> None:
    state = create(
        operations,
        *("aws_db_instance",),
        identifier="main",
        instance_class="db.t3.micro",
        allocated_storage=20,
        password="p4ssw0rd",
        skip_final_snapshot=True,
    )
    assert store.find("aws_db_instance")[0].state["password"] is None
    seen = operations.read("aws_db_instance", state)
    assert seen is not None
    assert (seen["password"], seen["skip_final_snapshot"]) == ("p4ssw0rd", True)


def test_what_ends_with_a_cluster_ends_with_it(operations: Operations, store: Store) -> None:
    state = {"id": "c", "name": "c", "cluster_name": "c"}
    for type in ("aws_eks_cluster", "aws_eks_addon", "aws_eks_access_entry"):
        store.create(NewObject(ACCOUNT, REGION, type, "c", "c", state))
    operations.delete("aws_eks_cluster", state)
    assert store.find() == []


def test_node_groups_need_an_active_cluster(operations: Operations, store: Store) -> None:
    state = {"id": "c", "name": "c", "version": "1.34"}
    store.create(NewObject(ACCOUNT, REGION, "aws_eks_cluster", "c", "c", state), seconds=3600)
    with pytest.raises(CloudError, match="not in ACTIVE status"):
        create(operations, "aws_eks_addon", cluster_name="c", addon_name="vpc-cni")
