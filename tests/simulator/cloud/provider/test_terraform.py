"""Genuine Terraform against the simulated cloud when things do not go smoothly."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.support.waiting import GUARD_SECONDS, until

from beta9_simulator.cloud.inventory import inventory
from beta9_simulator.cloud.principals import find_principal
from beta9_simulator.cloud.seeding import seed
from beta9_simulator.cloud.store import Store
from beta9_simulator.handle import write_credentials

TRUST = (
    '{"Version":"2012-10-17","Statement":'
    '[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"eks.amazonaws.com"}}]}'
)
VPC = {"it": {"cidr_block": "10.0.0.0/16"}}
OTHER_SUBNET = {
    "vpc_id": "${aws_vpc.it.id}",
    "cidr_block": "10.0.2.0/24",
    "availability_zone_id": "use1-az2",
}
SUBNET = {"vpc_id": "${aws_vpc.it.id}", "cidr_block": "10.0.1.0/24", "availability_zone_id": "use1-az1"}
NAT = {
    "aws_vpc": VPC,
    "aws_subnet": {"it": SUBNET},
    "aws_eip": {"it": {}},
    "aws_nat_gateway": {"it": {"allocation_id": "${aws_eip.it.id}", "subnet_id": "${aws_subnet.it.id}"}},
}
CLUSTER: dict[str, dict[str, Any]] = {
    "aws_vpc": VPC,
    "aws_subnet": {"it": SUBNET, "other": OTHER_SUBNET},
    "aws_iam_role": {"it": {"name": "it", "assume_role_policy": TRUST}},
    "aws_eks_cluster": {
        "it": {
            "name": "it",
            "role_arn": "${aws_iam_role.it.arn}",
            "vpc_config": [{"subnet_ids": ["${aws_subnet.it.id}", "${aws_subnet.other.id}"]}],
        }
    },
}


NODES: dict[str, dict[str, Any]] = {
    **CLUSTER,
    "aws_vpc": {"it": {**VPC["it"], "enable_dns_hostnames": True}},
    "aws_internet_gateway": {"it": {"vpc_id": "${aws_vpc.it.id}"}},
    "aws_subnet": {"it": {**SUBNET, "map_public_ip_on_launch": True}, "other": OTHER_SUBNET},
    "aws_route_table": {"it": {"vpc_id": "${aws_vpc.it.id}"}},
    "aws_route": {
        "it": {
            "route_table_id": "${aws_route_table.it.id}",
            "destination_cidr_block": "0.0.0.0/0",
            "gateway_id": "${aws_internet_gateway.it.id}",
        }
    },
    "aws_route_table_association": {
        "it": {"route_table_id": "${aws_route_table.it.id}", "subnet_id": "${aws_subnet.it.id}"}
    },
    "aws_iam_role_policy_attachment": {
        "it": {
            "role": "${aws_iam_role.it.name}",
            "policy_arn": "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy",
        }
    },
    "aws_eks_node_group": {
        "it": {
            "cluster_name": "${aws_eks_cluster.it.name}",
            "node_group_name": "it",
            "node_role_arn": "${aws_iam_role.it.arn}",
            "subnet_ids": ["${aws_subnet.it.id}"],
            "scaling_config": [{"desired_size": 1, "min_size": 1, "max_size": 1}],
            "depends_on": [
                "aws_iam_role_policy_attachment.it",
                "aws_route.it",
                "aws_route_table_association.it",
            ],
        }
    },
}
DATABASE = {
    "identifier": "it",
    "engine": "postgres",
    "instance_class": "db.t3.micro",
    "allocated_storage": 20,
    "username": "u",
    "password": "p4ssw0rd",
}


def end_waiting(store: Store) -> None:
    """Let the time be over that objects need to become available, or to vanish."""
    store.execute("update objects set busy_until=0")


def role(name: str = "it") -> dict[str, Any]:
    return {"aws_iam_role": {"it": {"name": name, "assume_role_policy": TRUST}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"external_id": "wrong"}, "AccessDenied"),
        ({"external_id": None}, "AccessDenied"),
        ({"role_arn": "arn:aws:iam::123456789012:role/Nobody"}, "AccessDenied"),
        ({"duration": "2h"}, "MaxSessionDuration"),
    ],
)
def test_a_role_that_may_not_be_assumed_stops_the_plan(
    terraform: Any, change: dict[str, str], message: str
) -> None:
    assume = {"role_arn": terraform.seeded.role_arn, "external_id": terraform.seeded.external_id, **change}
    terraform.write(role(), provider={"assume_role": [assume]})
    terraform.init()
    printed = terraform.run("plan", "-no-color", fails=True)
    assert "Cannot assume IAM Role" in printed
    assert message in printed


def test_another_account_than_allowed_stops_the_plan(terraform: Any) -> None:
    terraform.write(role(), provider={"allowed_account_ids": ["222222222222"]})
    terraform.init()
    printed = terraform.run("plan", "-no-color", fails=True)
    assert "AWS account ID not allowed: 123456789012" in printed


def test_an_unknown_access_key_stops_the_plan(terraform: Any) -> None:
    terraform.extra = {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000000"}
    terraform.write(role())
    terraform.init()
    assert "InvalidClientTokenId" in terraform.run("plan", "-no-color", fails=True)


def test_the_access_key_may_be_in_a_file(terraform: Any, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    terraform.extra = {"AWS_ACCESS_KEY_ID": "", "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    terraform.write(role())
    terraform.init()
    assert "No valid credential sources found" in terraform.run("plan", "-no-color", fails=True)
    file.write_bytes(b"\xff[default")
    assert "No valid credential sources found" in terraform.run("plan", "-no-color", fails=True)
    write_credentials(tmp_path, terraform.seeded.access_key, terraform.seeded.secret_key)
    terraform.apply()
    assert [item.name for item in inventory(terraform.store)] == ["it"]


def test_objects_belong_to_the_assumed_role_s_account(terraform: Any) -> None:
    other = seed(terraform.store, account="222222222222")
    terraform.write(
        {"aws_vpc": VPC},
        provider={"assume_role": [{"role_arn": other.role_arn, "external_id": other.external_id}]},
    )
    terraform.init()
    terraform.apply()
    (vpc,) = inventory(terraform.store)
    assert (vpc.account, vpc.region, vpc.creator) == ("222222222222", "us-east-1", other.role_arn)


def test_a_created_object_shows_at_once_and_an_interrupt_leaves_it_tainted(
    terraform: Any, stop_group: list[Any]
) -> None:
    store = terraform.store
    terraform.write(NAT)
    terraform.init()
    store.set_setting("time_scale", "1")
    applying = terraform.start("apply", "-auto-approve", "-no-color", "-input=false")
    stop_group.append(applying)
    (gateway,) = until(lambda: store.find("aws_nat_gateway"), "the gateway is being created")
    assert gateway.status == "creating"
    os.kill(applying.pid, signal.SIGINT)
    assert "context canceled" in applying.communicate(timeout=GUARD_SECONDS)[0]
    assert applying.returncode == 1
    state = json.loads((terraform.directory / "terraform.tfstate").read_text())
    tainted = [each["type"] for each in state["resources"] if each["instances"][0].get("status") == "tainted"]
    assert tainted == ["aws_nat_gateway"]
    end_waiting(store)
    terraform.run("untaint", "aws_nat_gateway.it")
    assert terraform.plan_changes() == []


def test_a_create_that_takes_too_long_leaves_a_tainted_object_that_the_cloud_finishes(terraform: Any) -> None:
    store = terraform.store
    terraform.write(NAT)
    terraform.init()
    store.set_setting("create_seconds:aws_nat_gateway", "3600")
    store.set_setting("gives_up:aws_nat_gateway", "0.1")
    assert "timeout while waiting for state" in terraform.apply(fails=True)
    assert store.find("aws_nat_gateway")[0].status == "creating"
    end_waiting(store)
    terraform.run("untaint", "aws_nat_gateway.it")
    assert terraform.plan_changes() == []


def test_an_object_becomes_available_though_its_creator_was_killed(
    terraform: Any, stop_group: list[Any]
) -> None:
    store = terraform.store
    terraform.write(CLUSTER)
    terraform.init()
    store.set_setting("time_scale", "1")
    applying = terraform.start("apply", "-auto-approve", "-no-color", "-input=false")
    stop_group.append(applying)
    (cluster,) = until(lambda: store.find("aws_eks_cluster"), "the cluster is being created")
    os.killpg(applying.pid, signal.SIGKILL)
    applying.wait(timeout=GUARD_SECONDS)
    assert store.find("aws_eks_cluster")[0].status == "creating"
    end_waiting(store)
    (survivor,) = store.find("aws_eks_cluster")
    assert (survivor.uid, survivor.status) == (cluster.uid, "available")
    assert "aws_eks_cluster.it" not in (terraform.directory / "terraform.tfstate").read_text()


def test_what_is_deleted_is_there_until_its_time_has_come(terraform: Any, stop_group: list[Any]) -> None:
    store = terraform.store
    terraform.write(NAT)
    terraform.init()
    terraform.apply()
    store.set_setting("time_scale", "1")
    destroying = terraform.start("destroy", "-auto-approve", "-no-color", "-input=false")
    stop_group.append(destroying)
    until(lambda: store.find("aws_nat_gateway")[0].status == "deleting", "the gateway is being deleted")
    store.set_setting("time_scale", "0")
    end_waiting(store)
    printed, _ = destroying.communicate(timeout=GUARD_SECONDS)
    assert destroying.returncode == 0, printed
    assert inventory(store) == []


def test_injected_faults_fail_once(terraform: Any) -> None:
    terraform.store.inject_fault(
        "aws_iam_role", "create", "LimitExceeded", "Cannot exceed quota for RolesPerAccount"
    )
    terraform.write(role())
    terraform.init()
    assert "LimitExceeded: Cannot exceed quota" in terraform.apply(fails=True)
    terraform.apply()
    terraform.store.inject_fault("*", "read", "Throttling", "Rate exceeded")
    assert "Throttling" in terraform.run("plan", "-no-color", fails=True)
    assert terraform.plan_changes() == []


@pytest.mark.parametrize(
    ("resources", "address", "message"),
    [
        (role(), "aws_iam_role.it", "EntityAlreadyExists: Role with name it already exists"),
        (CLUSTER, "aws_eks_cluster.it", "ResourceInUseException: Cluster already exists with name: it"),
        ({"aws_s3_bucket": {"it": {"bucket": "taken"}}}, "aws_s3_bucket.it", "BucketAlreadyOwnedByYou"),
        ({"aws_db_instance": {"it": DATABASE}}, "aws_db_instance.it", "DBInstanceAlreadyExists"),
    ],
    ids=["role", "cluster", "bucket", "database"],
)
def test_taken_names_collide(terraform: Any, resources: dict[str, Any], address: str, message: str) -> None:
    terraform.write(resources)
    terraform.init()
    terraform.apply()
    terraform.run("state", "rm", address)
    assert message in terraform.apply(fails=True)


def test_a_grant_with_a_name_is_made_once(terraform: Any) -> None:
    grant = {
        "key_id": "${aws_kms_key.it.key_id}",
        "grantee_principal": terraform.seeded.role_arn,
        "operations": ["Decrypt"],
    }
    grants = {"named": {**grant, "name": "it"}, "unnamed": grant}
    terraform.write({"aws_kms_key": {"it": {}}, "aws_kms_grant": grants})
    terraform.init()
    terraform.apply()
    terraform.run("state", "rm", "aws_kms_grant.named", "aws_kms_grant.unnamed")
    terraform.apply()
    names = [found.state["name"] or "" for found in terraform.store.find("aws_kms_grant")]
    assert sorted(names) == ["", "", "it"]


def test_a_bucket_name_that_another_account_has_is_taken(terraform: Any) -> None:
    other = seed(terraform.store, account="222222222222")
    bucket = {"aws_s3_bucket": {"it": {"bucket": "taken"}}}
    terraform.write(bucket)
    terraform.init()
    terraform.apply()
    (terraform.directory / "terraform.tfstate").unlink()
    assume = [{"role_arn": other.role_arn, "external_id": other.external_id}]
    terraform.write(bucket, provider={"assume_role": assume})
    assert "BucketAlreadyExists" in terraform.apply(fails=True)


@pytest.mark.parametrize(
    ("resources", "target", "message"),
    [
        ({"aws_vpc": VPC, "aws_subnet": {"it": SUBNET}}, "aws_subnet.it", "DependencyViolation"),
        (
            {**NAT, "aws_internet_gateway": {"it": {"vpc_id": "${aws_vpc.it.id}"}}},
            "aws_nat_gateway.it",
            "mapped public address",
        ),
        (
            {
                **NODES,
            },
            "aws_eks_node_group.it",
            "ResourceInUseException: Cluster has nodegroups attached",
        ),
        (
            {
                **role(),
                "aws_iam_role_policy_attachment": {
                    "it": {
                        "role": "${aws_iam_role.it.name}",
                        "policy_arn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
                    }
                },
            },
            "aws_iam_role_policy_attachment.it",
            "DeleteConflict",
        ),
    ],
    ids=["vpc with subnet", "gateway with addresses", "cluster with node group", "role with policy"],
)
def test_what_is_in_use_cannot_be_deleted(
    terraform: Any, resources: dict[str, Any], target: str, message: str
) -> None:
    terraform.write(resources)
    terraform.init()
    terraform.apply()
    terraform.run("state", "rm", target)
    assert message in terraform.destroy(fails=True)


def test_deletes_that_aws_protects_are_refused(terraform: Any) -> None:
    terraform.write({"aws_db_instance": {"it": {**DATABASE, "deletion_protection": True}}})
    terraform.init()
    terraform.apply()
    assert "Cannot delete protected DB Instance" in terraform.destroy(fails=True)
    terraform.write({"aws_db_instance": {"it": DATABASE}})
    terraform.apply()
    assert "final_snapshot_identifier is required" in terraform.destroy(fails=True)
    terraform.write({"aws_db_instance": {"it": {**DATABASE, "skip_final_snapshot": True}}})
    terraform.apply()
    terraform.destroy()


IMPORTS = {
    **NAT,
    **CLUSTER,
    "aws_route_table": {"it": {"vpc_id": "${aws_vpc.it.id}"}},
    "aws_route": {
        "it": {
            "route_table_id": "${aws_route_table.it.id}",
            "destination_cidr_block": "0.0.0.0/0",
            "nat_gateway_id": "${aws_nat_gateway.it.id}",
        }
    },
    "aws_route_table_association": {
        "it": {"route_table_id": "${aws_route_table.it.id}", "subnet_id": "${aws_subnet.it.id}"}
    },
    "aws_db_instance": {
        "it": {
            "identifier": "main",
            "engine": "postgres",
            "instance_class": "db.t3.micro",
            "allocated_storage": 20,
            "username": "u",
            "manage_master_user_password": True,
            "skip_final_snapshot": True,
        }
    },
    "aws_iam_role_policy_attachment": {
        "it": {
            "role": "${aws_iam_role.it.name}",
            "policy_arn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
        }
    },
}


def test_imports_take_the_true_ids_and_bring_back_what_a_read_returns(terraform: Any) -> None:
    terraform.write(IMPORTS)
    terraform.init()
    terraform.apply()
    before = {address: each["values"] for address, each in terraform.state().items()}
    (terraform.directory / "terraform.tfstate").unlink()
    table, subnet = before["aws_route_table.it"]["id"], before["aws_subnet.it"]["id"]
    ids = {
        "aws_vpc.it": before["aws_vpc.it"]["id"],
        "aws_subnet.it": subnet,
        "aws_eip.it": before["aws_eip.it"]["id"],
        "aws_nat_gateway.it": before["aws_nat_gateway.it"]["id"],
        "aws_iam_role.it": "it",
        "aws_eks_cluster.it": "it",
        "aws_subnet.other": before["aws_subnet.other"]["id"],
        "aws_route_table.it": table,
        "aws_route.it": f"{table}_0.0.0.0/0",
        "aws_route_table_association.it": f"{subnet}/{table}",
        "aws_db_instance.it": "main",
        "aws_iam_role_policy_attachment.it": "it/arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
    }
    assert set(ids) == set(before)
    terraform.write(IMPORTS, imports=[{"to": to, "id": id} for to, id in ids.items()])
    terraform.run("apply", "-auto-approve", "-no-color", "-input=false")
    assert {address: each["values"]["id"] for address, each in terraform.state().items()} == {
        address: values["id"] for address, values in before.items()
    }
    assert terraform.plan_changes() == []


@pytest.mark.parametrize(
    ("type", "id", "message"),
    [
        ("aws_vpc", "it", "unexpected format of ID"),
        ("aws_eks_node_group", "system", "<cluster_name>:<node_group_name>"),
        ("aws_vpc", "vpc-00000000000000000", "Cannot import non-existent remote object"),
        ("aws_db_instance", "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "Cannot import non-existent remote object"),
    ],
)
def test_imports_refuse_what_is_no_import_id(terraform: Any, type: str, id: str, message: str) -> None:
    node_group = {
        "cluster_name": "c",
        "node_group_name": "n",
        "node_role_arn": "arn",
        "subnet_ids": ["subnet-1"],
        "scaling_config": [{"desired_size": 1, "min_size": 1, "max_size": 1}],
    }
    bodies: dict[str, dict[str, Any]] = {
        "aws_vpc": VPC["it"],
        "aws_eks_node_group": node_group,
        "aws_db_instance": {"instance_class": "db.t3.micro", "engine": "postgres", "allocated_storage": 20},
    }
    terraform.write({type: {"it": bodies[type]}}, imports=[{"to": f"{type}.it", "id": id}])
    terraform.init()
    assert message in " ".join(terraform.run("plan", "-no-color", fails=True).split())


def test_changes_in_place_replacements_and_drift(terraform: Any) -> None:
    store = terraform.store
    terraform.write({"aws_vpc": {"it": {**VPC["it"], "tags": {"a": "1"}}}, "aws_subnet": {"it": SUBNET}})
    terraform.init()
    terraform.apply()
    terraform.write(
        {
            "aws_vpc": {"it": {**VPC["it"], "enable_dns_hostnames": True, "tags": {"a": "2"}}},
            "aws_subnet": {"it": {**SUBNET, "cidr_block": "10.0.2.0/24"}},
        }
    )
    assert terraform.plan_changes() == [
        ("aws_subnet.it", ["delete", "create"]),
        ("aws_vpc.it", ["update"]),
    ]
    terraform.apply()
    (vpc,) = store.find("aws_vpc")
    assert vpc.tags == {"a": "2"}
    store.edit(vpc, enable_dns_hostnames=False)
    assert terraform.plan_changes() == [("aws_vpc.it", ["update"])]
    store.delete(store.find("aws_subnet")[0])
    assert ("aws_subnet.it", ["create"]) in terraform.plan_changes()


def test_bad_values_are_refused_before_anything_is_created(terraform: Any) -> None:
    terraform.write({"aws_s3_bucket": {"it": {"bucket": "Not_A_Bucket"}}})
    terraform.init()
    assert "invalid value for bucket" in terraform.run("validate", "-no-color", fails=True)


def test_an_access_key_made_by_terraform_is_a_principal(terraform: Any) -> None:
    terraform.write(
        {
            "aws_iam_user": {"it": {"name": "it"}},
            "aws_iam_access_key": {"it": {"user": "${aws_iam_user.it.name}"}},
        }
    )
    terraform.init()
    terraform.apply()
    values = terraform.state()["aws_iam_access_key.it"]["values"]
    principal = find_principal(terraform.store, values["id"])
    assert principal is not None
    assert principal.secret_key == values["secret"]
    terraform.destroy()
    assert find_principal(terraform.store, values["id"]) is None


def test_a_missing_reference_is_refused(terraform: Any) -> None:
    terraform.write({"aws_subnet": {"it": {**SUBNET, "vpc_id": "vpc-00000000000000000"}}})
    terraform.init()
    assert "InvalidVpcID.NotFound" in terraform.apply(fails=True)
    assert inventory(terraform.store) == []


@pytest.mark.parametrize("lacking", ["aws_route", "aws_iam_role_policy_attachment"])
def test_nodes_without_a_way_out_or_a_cni_that_may_work_do_not_join(terraform: Any, lacking: str) -> None:
    group = dict(NODES["aws_eks_node_group"]["it"])
    group["depends_on"] = [needed for needed in group["depends_on"] if not needed.startswith(f"{lacking}.")]
    bodies = {type: body for type, body in NODES.items() if type != lacking}
    terraform.write({**bodies, "aws_eks_node_group": {"it": group}})
    terraform.init()
    printed = " ".join(terraform.apply(fails=True).replace("│", "").split())
    assert (
        "waiting for EKS Node Group (it) create: unexpected state 'CREATE_FAILED', wanted target 'ACTIVE'. "
        "last error: NodeCreationFailure: Instances failed to join the kubernetes cluster"
    ) in printed
    state = json.loads((terraform.directory / "terraform.tfstate").read_text())
    assert [
        each["type"] for each in state["resources"] if each["instances"][0].get("status") == "tainted"
    ] == ["aws_eks_node_group"]
    terraform.destroy()
    assert inventory(terraform.store) == []
