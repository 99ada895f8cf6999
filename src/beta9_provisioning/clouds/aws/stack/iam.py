"""IAM roles of AWS's services and of pods, with the path and the boundary that the customer demands."""

from collections.abc import Mapping, Sequence
from typing import Any

from beta9_provisioning.clouds.aws.policies import Statement, policy
from beta9_provisioning.clouds.aws.rules import partition_of, service_principal
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.engine.synthesis.bindings import Resource


class Iam:
    """Makes the roles of one stack."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._partition = partition_of(draft.config.cloud.region)

    def aws_arn(self, service: str, resource: str) -> str:
        """Return the ARN of something that AWS itself owns."""
        return f"arn:{self._partition}:{service}::aws:{resource}"

    def own_arn(self, service: str, resource: str, *, is_global: bool = False) -> str:
        """Return the ARN of something of the customer's account."""
        cloud = self._draft.config.cloud
        region = "" if is_global else cloud.region
        return f"arn:{self._partition}:{service}:{region}:{cloud.account_id}:{resource}"

    def role(self, key: str, name: str, *, service: str) -> Resource:
        """Add a role that a service can assume for this account."""
        # EC2 assumes the nodes' role without saying for which account.
        condition = {} if service == "ec2" else {"StringEquals": {"aws:SourceAccount": self._account}}
        return self._role(key, name, service, ["sts:AssumeRole"], condition)

    def pod_role(self, key: str, name: str, *, namespace: str, service_account: str) -> Resource:
        """Add a role for the pods of one service account of the environment's cluster.

        "Create IAM role with trust policy required by EKS Pod Identity" in the EKS user guide says by which
        keys the trust can be limited.
        """
        condition = {
            "StringEquals": {
                "aws:SourceAccount": self._account,
                "aws:RequestTag/kubernetes-namespace": namespace,
                "aws:RequestTag/kubernetes-service-account": service_account,
            },
            "ArnEquals": {"aws:SourceArn": self.own_arn("eks", f"cluster/{self._draft.names.cluster}")},
        }
        return self._role(key, name, "pods.eks", ["sts:AssumeRole", "sts:TagSession"], condition)

    def attach(self, key: str, role: Resource, policies: Sequence[str]) -> list[Resource]:
        """Attach managed policies of AWS to a role."""
        return [
            Resource(
                self._draft.stack,
                "aws_iam_role_policy_attachment",
                f"{key}_{index}",
                role=role.ref("name"),
                policy_arn=self.aws_arn("iam", f"policy/{policy}"),
            )
            for index, policy in enumerate(policies)
        ]

    def inline(self, key: str, role: Resource, statements: Sequence[Statement]) -> Resource:
        """Give a role a policy of its own."""
        return Resource(
            self._draft.stack,
            "aws_iam_role_policy",
            key,
            name=key,
            role=role.ref("name"),
            policy=policy(statements),
        )

    @property
    def _account(self) -> str:
        account = self._draft.config.cloud.account_id
        assert account is not None, "the configuration demands it for AWS"
        return account

    def _role(
        self, key: str, name: str, service: str, actions: Sequence[str], condition: Mapping[str, Any]
    ) -> Resource:
        cloud = self._draft.config.cloud
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Principal": {"Service": service_principal(service, self._partition)},
            "Action": list(actions),
        }
        if condition:
            statement["Condition"] = condition
        return Resource(
            self._draft.stack,
            "aws_iam_role",
            key,
            name=name,
            path=cloud.role_path,
            permissions_boundary=cloud.permissions_boundary_arn,
            assume_role_policy=policy([statement]),
        )
