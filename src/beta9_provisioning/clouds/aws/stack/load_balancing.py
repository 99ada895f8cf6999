"""The role of the AWS Load Balancer Controller: network load balancers of this cluster, and no more.

After `docs/install/iam_policy.json` of kubernetes-sigs/aws-load-balancer-controller, without what is for
application load balancers (certificates, firewalls, users), and within the region and account.
"""

from typing import Any

from beta9_provisioning.clouds.aws.load_balancer_values import NAMESPACE, SERVICE_ACCOUNT
from beta9_provisioning.clouds.aws.of_cluster import BALANCER_TAG
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.iam import Iam
from beta9_provisioning.clouds.aws.stack.pod_identity import associate
from beta9_provisioning.engine.synthesis.bindings import Resource

_LINKED_ROLE = (
    "role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing"
)


def add_load_balancing(draft: Draft, iam: Iam, cluster: Resource) -> None:
    """Add the role, and EKS Pod Identity that hands it to the controller."""
    role = iam.pod_role(
        "load_balancing",
        draft.names.load_balancing_role,
        namespace=NAMESPACE,
        service_account=SERVICE_ACCOUNT,
    )
    allowed = iam.inline("load_balancing", role, _statements(draft, iam))
    associate(
        draft,
        cluster,
        "load_balancing",
        role,
        namespace=NAMESPACE,
        service_account=SERVICE_ACCOUNT,
        depends_on=[allowed],
    )


def _statements(draft: Draft, iam: Iam) -> list[dict[str, Any]]:
    balancers, groups, listeners = (
        iam.own_arn("elasticloadbalancing", f"{kind}/*")
        for kind in ("loadbalancer", "targetgroup", "listener")
    )
    firewall, vpc = iam.own_arn("ec2", "security-group/*"), iam.own_arn("ec2", "vpc/*")
    ours = {"StringEquals": {f"aws:ResourceTag/{BALANCER_TAG}": draft.names.cluster}}
    asked = {"StringEquals": {f"aws:RequestTag/{BALANCER_TAG}": draft.names.cluster}}

    def allow(
        actions: list[str], resource: list[str], condition: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        limit = {"Condition": condition} if condition else {}
        return {"Effect": "Allow", "Action": actions, "Resource": resource, **limit}

    return [
        allow(
            [
                "ec2:DescribeAccountAttributes",
                "ec2:DescribeAddresses",
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeInstances",
                "ec2:DescribeInternetGateways",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeRouteTables",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeTags",
                "ec2:DescribeVpcs",
                "elasticloadbalancing:DescribeListenerAttributes",
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeLoadBalancerAttributes",
                "elasticloadbalancing:DescribeLoadBalancers",
                "elasticloadbalancing:DescribeTags",
                "elasticloadbalancing:DescribeTargetGroupAttributes",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
            ],
            ["*"],
        ),
        allow(
            ["iam:CreateServiceLinkedRole"],
            [iam.own_arn("iam", _LINKED_ROLE, is_global=True)],
            {"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
        ),
        allow(["ec2:CreateSecurityGroup"], [vpc]),
        allow(["ec2:CreateSecurityGroup"], [firewall], asked),
        allow(["ec2:CreateTags"], [firewall], {"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}}),
        allow(["ec2:CreateTags", "ec2:DeleteTags", "ec2:DeleteSecurityGroup"], [firewall], ours),
        # Of the nodes' group, too, which EKS made: pods must hear the load balancer.
        allow(["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"], [firewall]),
        allow(
            ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"],
            [balancers, groups],
            asked,
        ),
        allow(
            ["elasticloadbalancing:CreateListener", "elasticloadbalancing:DeleteListener"],
            [balancers, listeners],
        ),
        allow(
            ["elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyListenerAttributes"],
            [listeners],
        ),
        allow(["elasticloadbalancing:AddTags"], [balancers, groups, listeners], asked),
        allow(
            [
                "elasticloadbalancing:AddTags",
                "elasticloadbalancing:DeleteLoadBalancer",
                "elasticloadbalancing:DeleteTargetGroup",
                "elasticloadbalancing:DeregisterTargets",
                "elasticloadbalancing:ModifyLoadBalancerAttributes",
                "elasticloadbalancing:ModifyTargetGroup",
                "elasticloadbalancing:ModifyTargetGroupAttributes",
                "elasticloadbalancing:RegisterTargets",
                "elasticloadbalancing:RemoveTags",
                "elasticloadbalancing:SetIpAddressType",
                "elasticloadbalancing:SetSecurityGroups",
                "elasticloadbalancing:SetSubnets",
            ],
            [balancers, groups, listeners],
            ours,
        ),
    ]
