"""The AWS Load Balancer Controller: what it is told, and what it may do."""

import json
from collections.abc import Callable

import pytest
from tests.support.configs import config
from tests.support.networks import PRIVATE, PUBLIC, VPC, in_own_network
from tests.support.stacks import ENVIRONMENT_ID, Document

from beta9_provisioning.clouds.aws.cloud import Aws
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.spec import tags


def test_it_is_told_where_it_is_since_it_cannot_ask_and_tags_what_it_makes() -> None:
    access = ClusterAccess("c", "https://c", "", lambda: pytest.fail("nobody asks"), network_id="vpc-1")
    wanted = config(tags={"team": "platform"})
    (release,) = Aws().first_releases(wanted, ENVIRONMENT_ID, access)
    values = release.values
    assert (values["clusterName"], values["region"], values["vpcId"]) == (
        "beta9-c3d4e5f6g7h8",
        "us-east-1",
        "vpc-1",
    )
    assert values["defaultTags"] == tags(wanted, ENVIRONMENT_ID)
    assert Aws().platform(wanted).load_balancer_annotations == {
        "service.beta.kubernetes.io/aws-load-balancer-type": "external",
        "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
        "service.beta.kubernetes.io/aws-load-balancer-scheme": "internet-facing",
    }


@pytest.mark.parametrize(
    ("named", "scheme", "subnets"),
    [
        ({"public_subnet_ids": PUBLIC}, "internet-facing", PUBLIC),
        # Nobody reaches it from outside: it is where the nodes are.
        ({}, "internal", PRIVATE),
    ],
)
def test_in_a_network_of_the_users_it_is_told_its_subnets(
    named: dict[str, object], scheme: str, subnets: list[str]
) -> None:
    wanted = in_own_network(network={"vpc_id": VPC, "private_subnet_ids": PRIVATE, **named})
    assert Aws().platform(wanted).load_balancer_annotations == {
        "service.beta.kubernetes.io/aws-load-balancer-type": "external",
        "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
        "service.beta.kubernetes.io/aws-load-balancer-scheme": scheme,
        "service.beta.kubernetes.io/aws-load-balancer-subnets": ",".join(subnets),
    }


def test_its_role_changes_nothing_outside_of_the_account_and_deletes_only_its_own(
    document: Callable[..., Document],
) -> None:
    resources = document()["resource"]
    association = resources["aws_eks_pod_identity_association"]["load_balancing"]
    assert (association["namespace"], association["service_account"]) == (
        "kube-system",
        "aws-load-balancer-controller",
    )
    statements = json.loads(resources["aws_iam_role_policy"]["load_balancing"]["policy"])["Statement"]
    for statement in statements:
        reads = all(action.split(":")[1].startswith("Describe") for action in statement["Action"])
        assert reads == (statement["Resource"] == ["*"])
        if any(
            "DeleteLoadBalancer" in action or "DeleteSecurity" in action for action in statement["Action"]
        ):
            assert statement["Condition"] == {
                "StringEquals": {"aws:ResourceTag/elbv2.k8s.aws/cluster": "beta9-c3d4e5f6g7h8"}
            }
