"""What the access check says of roles that lack something, and of what IAM cannot tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.cloud import Phase
from beta9_simulator.cloud.seeding import seed
from beta9_simulator.cloud.services.simulating import UNKNOWN
from beta9_simulator.cloud.store import GLOBAL, NewObject

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer

ALL = tuple(Phase)
ASKS = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}


def account(customer: Customer, policies: Mapping[str, Any] | None = None, **changes: Any) -> AwsAccount:
    """The customer's account, whose role has these policies; the published ones without any."""
    seeded = seed(
        customer.store,
        account=customer.seeded.account,
        external_id=customer.seeded.external_id,
        policies=policies or permissions.policies(),
    )
    return AwsAccount(replace(customer.target, role_arn=seeded.role_arn, **changes))


def lacking(own: AwsAccount, *phases: Phase, prefix: str = "beta9") -> AwsError:
    with pytest.raises(AwsError) as caught:
        own.check_access(phases or ALL, prefix)
    assert caught.value.code == "permissions_missing"
    return caught.value


def statements(*given: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [ASKS, *given]}


def bound(customer: Customer, *limits: dict[str, Any]) -> None:
    arn = f"arn:aws:iam::{customer.seeded.account}:policy/Limits"
    state = {"id": arn, "arn": arn, "name": "Limits", "policy": json.dumps(statements(*limits))}
    made = NewObject(customer.seeded.account, GLOBAL, "aws_iam_policy", arn, "Limits", state)
    customer.store.create(made, replace=True)
    [role] = customer.store.find("aws_iam_role", account=customer.seeded.account)
    customer.store.edit(role, permissions_boundary=arn)


def test_the_published_policies_are_enough(customer: Customer) -> None:
    assert account(customer).check_access(ALL, "beta9") is None
    assert account(customer, role_path="/teams/").check_access(ALL, None) is None


def test_who_may_do_everything_lacks_nothing(customer: Customer) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    assert account(customer, {"All": statements(everything)}).check_access(ALL, "acme") is None


def test_a_role_without_policies_lacks_all_that_is_granted(customer: Customer) -> None:
    error = lacking(account(customer, {"Asks": statements()}))
    granted = {action for grant in permissions.grants() for action in grant.actions}
    assert {action for action in granted if action not in error.detail} == {"iam:SimulatePrincipalPolicy"}
    assert f"lacked {len(granted) - 1} permissions" in error.message
    assert len(error.detail) < 8000


def test_a_destroy_needs_what_reads_and_destroys(customer: Customer) -> None:
    published = permissions.policies()
    kept = {
        permissions.policy_name(phase): published[permissions.policy_name(phase)]
        for phase in ("read", "destroy")
    }
    own = account(customer, kept)
    assert own.check_access((Phase.READ, Phase.DESTROY), None) is None
    assert "Beta9ProvisionerDestroy" not in lacking(own).detail


def test_policies_for_another_prefix_of_buckets_are_told_with_the_bucket(customer: Customer) -> None:
    """What is allowed on the state bucket, and not on the environment's."""
    error = lacking(account(customer), prefix="acme")
    assert "s3:CreateBucket" in error.detail
    assert " on arn:aws:s3:::acme-" in error.detail
    assert "ec2:" not in error.detail


def test_one_value_of_a_condition_that_is_missing_is_told(customer: Customer) -> None:
    policies = json.dumps(permissions.policies()).replace('"monitoring.rds.amazonaws.com", ', "")
    error = lacking(account(customer, json.loads(policies)))
    assert "iam:PassRole" in error.detail
    assert "with iam:PassedToService monitoring.rds.amazonaws.com" in error.detail
    assert "lacked 1 permission;" in error.message


def test_policies_of_one_region_are_enough_for_it(customer: Customer) -> None:
    """Narrower than the published ones: on no resource they allow nothing, on the region's they do."""
    policies = permissions.policies()
    for document in policies.values():
        for statement in document["Statement"]:
            if statement["Resource"] == "*" and "Condition" in statement:
                actions = statement["Action"]
                listed = [actions] if isinstance(actions, str) else actions
                services = {action.partition(":")[0] for action in listed}
                statement["Resource"] = [f"arn:aws:{service}:us-east-1:*:*" for service in services]
    # AWS knows no resources for these.
    policies["Beta9ProvisionerOperate"]["Statement"].append(
        {"Effect": "Allow", "Action": ["eks:CreateCluster", "kms:CreateKey"], "Resource": "*"}
    )
    assert account(customer, policies).check_access(ALL, "beta9") is None
    assert "ec2:CreateVpc" in lacking(account(customer, policies, region="eu-west-1")).detail


def test_a_boundary_is_told_as_the_reason(customer: Customer) -> None:
    own = account(customer)
    bound(customer, {"Effect": "Allow", "NotAction": "rds:*", "Resource": "*"})
    error = lacking(own)
    assert "(the role's permissions boundary does not allow it): rds:" in error.detail
    assert "ec2:" not in error.detail


def test_an_explicit_deny_is_told_as_the_reason(customer: Customer) -> None:
    denied = {"Effect": "Deny", "Action": "eks:CreateCluster", "Resource": "*"}
    own = account(customer, {**permissions.policies(), "Denied": statements(denied)})
    assert "(a policy denies it): eks:CreateCluster" in lacking(own).detail


def test_an_organization_is_told_as_the_reason(customer: Customer) -> None:
    """As AWS answers it; there are no organizations in the simulated cloud."""
    own = account(customer)

    def answer(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        body = params["body"]
        actions = [value for key, value in body.items() if key.startswith("ActionNames")]
        denied = {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": "*",
                "EvalDecision": "explicitDeny" if action == "ec2:DescribeVpcs" else "allowed",
                "MissingContextValues": [],
                **(denied if action == "ec2:DescribeVpcs" else {}),
                **(
                    {"ResourceSpecificResults": specific(body, "allowed")}
                    if "ResourceArns.member.1" in body
                    else {}
                ),
            }
            for action in actions
        ]
        return type("Answer", (), {"status_code": 200})(), {
            "EvaluationResults": results,
            "IsTruncated": False,
        }

    own._session.client("iam").meta.events.register("before-call.iam.SimulatePrincipalPolicy", answer)
    error = lacking(own)
    assert error.detail == (
        "Beta9ProvisionerRead (a policy of the organization (SCP) does not allow it): ec2:DescribeVpcs"
    )


def specific(body: Mapping[str, Any], decision: str) -> list[dict[str, Any]]:
    """One answer for each resource that a request names."""
    named = [value for key, value in body.items() if key.startswith("ResourceArns")]
    return [{"EvalResourceName": name, "EvalResourceDecision": decision} for name in named]


def test_the_boundary_of_roles_has_to_be_that_of_the_configuration(customer: Customer) -> None:
    arn = f"arn:aws:iam::{customer.seeded.account}:policy/Roles"
    policies = permissions.policies(boundary_of_roles=arn)
    assert account(customer, policies, boundary=arn).check_access(ALL, "beta9") is None
    for other in (None, f"{arn}2"):
        error = lacking(account(customer, policies, boundary=other))
        assert (
            "Beta9ProvisionerCreate: iam:AttachRolePolicy, iam:CreateRole, iam:PutRolePolicy" in error.detail
        )
        assert "cloud.permissions_boundary_arn" in error.remedy


def test_who_may_not_ask_is_not_checked(customer: Customer) -> None:
    own = account(customer, {"Else": {"Version": "2012-10-17", "Statement": [{**ASKS, "Action": "s3:*"}]}})
    told = own.check_access(ALL, "beta9")
    assert told is not None
    assert "iam:SimulatePrincipalPolicy" in told
    assert "Beta9ProvisionerRead" in told


def test_what_a_simulator_does_not_know_yet_is_asked_apart(customer: Customer) -> None:
    """It judges such actions by the letter, but not in one call with others."""
    customer.store.set_setting(UNKNOWN, "s3:TagResource eks:DescribeUpdate")
    try:
        assert account(customer).check_access(ALL, "beta9") is None
        read = {"Read": permissions.policy("read")}
        assert "eks:DescribeUpdate" in lacking(account(customer, read)).detail
    finally:
        customer.store.set_setting(UNKNOWN, "")


def test_what_a_simulator_allows_nobody_is_left_to_the_call(customer: Customer) -> None:
    """Here for a path without slashes; it stands for a resource that AWS's simulator does not take."""
    own = account(customer, {"Else": permissions.policy("read")}, role_path="x")
    told = own.check_access((Phase.READ,), "beta9")
    assert told is not None
    assert "iam:GetRole" in told
    error = lacking(own)
    assert "iam:CreateRole" not in error.detail
    assert "iam:CreateOpenIDConnectProvider" in error.detail


def test_what_hangs_on_a_condition_of_the_customers_own_is_left_to_the_call(customer: Customer) -> None:
    """IAM's simulator does not know from where the worker comes."""
    policies = permissions.policies()
    for document in policies.values():
        for statement in document["Statement"]:
            if "rds:CreateDBInstance" in statement["Action"]:
                statement["Condition"] = {"StringEquals": {"aws:SourceVpc": "vpc-1"}}
    told = account(customer, policies).check_access(ALL, "beta9")
    assert told is not None
    assert "aws:sourcevpc" in told
    assert "rds:CreateDBInstance" in told
    assert "ec2:" not in told
