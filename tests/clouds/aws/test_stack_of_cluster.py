"""Network, control plane and nodes of the AWS stack: what a reviewer asks for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.configs import config
from tests.support.stacks import ENVIRONMENT_ID, WORKERS_FROM, Document, subject, synthesized

from beta9_provisioning.clouds.aws import earlier
from beta9_provisioning.clouds.aws.add_on_versions import ADD_ONS
from beta9_provisioning.clouds.aws.api_networks import ApiUnreachable, api_networks
from beta9_provisioning.clouds.aws.choices import Choices
from beta9_provisioning.clouds.aws.cloud import Aws
from beta9_provisioning.clouds.aws.names import names as names_of
from beta9_provisioning.clouds.aws.versions import DEFAULTS
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.spec import tags
from beta9_provisioning.engine.synthesis.subject import Subject

Documents = Callable[..., Document]
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


def of_choices(choices: Choices, outdir: Path) -> Document:
    plain = subject(config())
    made = Subject(plain.config, ENVIRONMENT_ID, choices.model_dump(mode="json"), plain.backend, WORKERS_FROM)
    document: Document = json.loads((synthesize(made, outdir) / "cdk.tf.json").read_text(encoding="utf-8"))
    return document


def cluster(made: Document) -> Document:
    body: Document = made["resource"]["aws_eks_cluster"]["main"]
    return body


@pytest.mark.parametrize(("profile", "count"), [("small", 1), ("medium", 3)])
def test_each_zone_leaves_through_its_own_nat_gateway_or_all_through_one(
    document: Documents, profile: str, count: int
) -> None:
    resources = document(cluster={"profile": profile})["resource"]
    assert len(resources["aws_nat_gateway"]) == len(resources["aws_eip"]) == count
    tables = {
        body["route_table_id"]
        for name, body in resources["aws_route_table_association"].items()
        if name.startswith("private_")
    }
    assert len(tables) == count
    used = {body["nat_gateway_id"] for body in resources["aws_route"].values() if "nat_gateway_id" in body}
    assert len(used) == count
    assert len({body["subnet_id"] for body in resources["aws_nat_gateway"].values()}) == count


def test_stores_are_where_nothing_leads_out_and_nothing_gets_a_public_address(document: Documents) -> None:
    resources = document()["resource"]
    data = [f"${{aws_subnet.data_{index}.id}}" for index in range(3)]
    assert resources["aws_db_subnet_group"]["main"]["subnet_ids"] == data
    assert resources["aws_elasticache_subnet_group"]["main"]["subnet_ids"] == data
    table = "${aws_route_table.data.id}"
    assert table not in {body["route_table_id"] for body in resources["aws_route"].values()}
    assert table not in resources["aws_vpc_endpoint"]["s3"]["route_table_ids"]
    assert not any(body["map_public_ip_on_launch"] for body in resources["aws_subnet"].values())
    default = resources["aws_default_security_group"]["main"]
    assert not {"ingress", "egress"} & set(default)


def test_logs_are_kept_as_long_as_the_user_wants(document: Documents) -> None:
    made = document(network={"flow_log_days": 90}, cluster={"log_days": 7})
    groups = made["resource"]["aws_cloudwatch_log_group"]
    found = {body["name"]: body["retention_in_days"] for body in groups.values()}
    assert {name: days for name, days in found.items() if not name.startswith("/aws/rds/")} == {
        "/aws/eks/beta9-c3d4e5f6g7h8/cluster": 7,
        "/beta9/beta9-c3d4e5f6g7h8/flow": 90,
    }
    assert set(cluster(made)["enabled_cluster_log_types"]) == {
        *("api", "audit", "authenticator", "controllerManager", "scheduler")
    }
    assert made["resource"]["aws_flow_log"]["main"]["traffic_type"] == "ALL"


def test_the_api_is_open_to_workers_and_to_whom_the_user_names(document: Documents) -> None:
    (network,) = cluster(
        document(cluster={"api": {"public_from": ["198.51.100.0/25", "198.51.100.128/25"]}})
    )["vpc_config"]
    assert network["public_access_cidrs"] == ["198.51.100.0/24", "203.0.113.0/24"]
    assert network["endpoint_private_access"] is True


def test_without_anybody_the_stack_is_refused() -> None:
    with pytest.raises(ApiUnreachable, match=r"cluster\.api\.public_from .* CONTROL_PLANE_CIDRS"):
        api_networks(config(), ())
    assert api_networks(config(cluster={"api": {"public_from": ["0.0.0.0/0"]}}), WORKERS_FROM) == (
        "0.0.0.0/0",
    )


def test_services_have_the_chosen_range_and_support_is_standard_unless_wanted(document: Documents) -> None:
    plain = cluster(document(network={"service_cidr": "172.30.0.0/16"}))
    assert plain["kubernetes_network_config"] == [{"service_ipv4_cidr": "172.30.0.0/16"}]
    assert plain["upgrade_policy"] == [{"support_type": "STANDARD"}]
    assert plain["version"] == DEFAULTS.kubernetes
    extended = cluster(document(cluster={"extended_support": True}))
    assert extended["upgrade_policy"] == [{"support_type": "EXTENDED"}]


def test_admins_of_the_customer_get_into_the_cluster(document: Documents) -> None:
    arns = ["arn:aws:iam::123456789012:role/Admins", "arn:aws:iam::123456789012:user/jo"]
    resources = document(cluster={"admin_role_arns": arns})["resource"]
    entries = {body["principal_arn"] for body in resources["aws_eks_access_entry"].values()}
    assert set(arns) < entries
    assert len(resources["aws_eks_access_policy_association"]) == 3


def test_the_customers_key_encrypts_and_auto_scaling_may_use_it(document: Documents) -> None:
    own = document()["resource"]
    assert own["aws_kms_key"]["cluster"]["enable_key_rotation"] is True
    assert own["aws_kms_alias"]["cluster"]["name"] == "alias/beta9-c3d4e5f6g7h8"
    assert "aws_kms_grant" not in own
    made = document(cloud__kms_key_arn=KEY)
    resources = made["resource"]
    assert "aws_kms_key" not in resources
    assert cluster(made)["encryption_config"] == [{"resources": ["secrets"], "provider": [{"key_arn": KEY}]}]
    disks = [body["block_device_mappings"][0]["ebs"][0] for body in resources["aws_launch_template"].values()]
    assert {disk["kms_key_id"] for disk in disks} == {KEY}
    assert {body["kms_key_id"] for body in resources["aws_cloudwatch_log_group"].values()} == {KEY}
    policy = json.loads(resources["aws_iam_role_policy"]["ebs_csi"]["policy"])
    assert {arn for statement in policy["Statement"] for arn in statement["Resource"]} == {KEY}
    assert Aws().platform(config(cloud__kms_key_arn=KEY)).storage_class.parameters["kmsKeyId"] == KEY
    assert "kmsKeyId" not in Aws().platform(config()).storage_class.parameters
    assert resources["aws_kms_grant"]["auto_scaling"]["grantee_principal"].endswith(
        ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    )


def test_instances_keep_their_metadata_to_themselves_and_carry_the_tags(document: Documents) -> None:
    made = document(tags={"team": "platform"})
    wanted = tags(config(tags={"team": "platform"}), ENVIRONMENT_ID)
    for template in made["resource"]["aws_launch_template"].values():
        assert template["metadata_options"] == [
            {"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1}
        ]
        (disk,) = template["block_device_mappings"][0]["ebs"]
        assert (disk["encrypted"], disk["volume_type"]) == ("true", "gp3")
        tagged = {one["resource_type"]: one["tags"] for one in template["tag_specifications"]}
        assert set(tagged) == {"instance", "volume", "network-interface"}
        assert all(wanted.items() <= given.items() for given in tagged.values())
    driver = made["resource"]["aws_eks_addon"]["aws_ebs_csi_driver"]["configuration_values"]
    assert json.loads(driver)["controller"]["extraVolumeTags"] == wanted


def test_a_group_that_is_replaced_has_another_name_and_scaling_is_no_drift(
    document: Documents, tmp_path: Path
) -> None:
    groups = document(cluster={"capacity": "spot"})["resource"]["aws_eks_node_group"]
    assert {name: body["capacity_type"] for name, body in groups.items()} == {
        "main": "SPOT",
        "system": "ON_DEMAND",
    }
    for body in groups.values():
        assert body["lifecycle"] == {
            "create_before_destroy": True,
            "ignore_changes": ["scaling_config[0].desired_size"],
        }
    choices = Choices.model_validate(subject(config()).choices)
    assert choices.nodes is not None
    later = choices.model_copy(update={"nodes": choices.nodes.model_copy(update={"generation": 2})})
    replaced = of_choices(later, tmp_path)["resource"]["aws_eks_node_group"]["main"]
    assert groups["main"]["node_group_name"] != replaced["node_group_name"]


def test_pods_get_roles_that_nobody_else_can_take(document: Documents) -> None:
    resources = document()["resource"]
    attached = {
        (name.rsplit("_", 1)[0], body["policy_arn"].rsplit("/", 1)[-1])
        for name, body in resources["aws_iam_role_policy_attachment"].items()
    }
    assert attached == {
        ("cluster", "AmazonEKSClusterPolicy"),
        ("node", "AmazonEKSWorkerNodePolicy"),
        ("node", "AmazonEC2ContainerRegistryPullOnly"),
        ("vpc_cni", "AmazonEKS_CNI_Policy"),
        ("ebs_csi", "AmazonEBSCSIDriverPolicyV2"),
        ("monitoring", "AmazonRDSEnhancedMonitoringRole"),
    }
    trust = json.loads(resources["aws_iam_role"]["vpc_cni"]["assume_role_policy"])["Statement"][0]
    assert trust["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": "123456789012",
            "aws:RequestTag/kubernetes-namespace": "kube-system",
            "aws:RequestTag/kubernetes-service-account": "aws-node",
        },
        "ArnEquals": {"aws:SourceArn": "arn:aws:eks:us-east-1:123456789012:cluster/beta9-c3d4e5f6g7h8"},
    }
    assert trust["Action"] == ["sts:AssumeRole", "sts:TagSession"]


def test_the_inventory_looks_for_every_role(document: Documents) -> None:
    made = {body["name"] for body in document()["resource"]["aws_iam_role"].values()}
    assert made == names_of(ENVIRONMENT_ID).roles


def test_roles_are_made_as_the_customer_demands(document: Documents) -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    made = document(cloud__permissions_boundary_arn=boundary, cloud__role_path="/beta9/")
    for body in made["resource"]["aws_iam_role"].values():
        assert (body["path"], body["permissions_boundary"]) == ("/beta9/", boundary)


def test_add_ons_are_pinned_and_the_cni_delegates_prefixes(document: Documents) -> None:
    add_ons = document()["resource"]["aws_eks_addon"]
    assert {body["addon_name"]: body["addon_version"] for body in add_ons.values()} == dict(
        ADD_ONS[DEFAULTS.kubernetes]
    )
    cni = json.loads(add_ons["vpc_cni"]["configuration_values"])
    assert cni["enableNetworkPolicy"] == "true"
    assert cni["env"]["ENABLE_PREFIX_DELEGATION"] == "true"


def test_what_earlier_releases_built_keeps_its_nodes_and_its_network(tmp_path: Path) -> None:
    resources = of_choices(earlier.choices(config()), tmp_path)["resource"]
    (group,) = resources["aws_eks_node_group"].values()
    assert (group["node_group_name"], group["disk_size"]) == ("beta9-c3d4e5f6g7h8-nodes", 50)
    assert "aws_launch_template" not in resources
    assert set(resources["aws_subnet"]) == {"public_0", "public_1", "private_0", "private_1"}
    assert set(resources["aws_nat_gateway"]) == {"main"}
    policies = [
        resources["aws_iam_role_policy_attachment"][f"node_{number}"]["policy_arn"] for number in range(3)
    ]
    assert policies[1].endswith("/AmazonEKS_CNI_Policy")
    assert (
        "kubernetes_network_config" not in resources["aws_eks_cluster"]["main"]
        or not (resources["aws_eks_cluster"]["main"]["kubernetes_network_config"])
    )
    private = ["${aws_subnet.private_0.id}", "${aws_subnet.private_1.id}"]
    assert resources["aws_db_subnet_group"]["main"]["subnet_ids"] == private
    assert synthesized(tmp_path / "new")["resource"]["aws_subnet"].keys() != resources["aws_subnet"].keys()
