"""What users are told about Terraform's errors. Texts as printed by Terraform 1.11.4 and the AWS provider."""

from __future__ import annotations

import pytest

from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.engine.terraform.errors import (
    Diagnostic,
    diagnostic_in_text,
    diagnostics,
    failure,
)
from beta9_provisioning.engine.terraform.events import parse


@pytest.mark.parametrize(
    ("diagnostic", "code"),
    [
        (
            Diagnostic(
                "Error acquiring the state lock",
                "operation error S3: PutObject, https response error StatusCode: 403, AccessDenied",
            ),
            "permission_missing",
        ),
        (
            Diagnostic(
                "Cannot assume IAM Role",
                "IAM Role (arn:aws:iam::123456789012:role/Beta9Provisioner) cannot be assumed.",
            ),
            "role_refused",
        ),
        (
            Diagnostic(
                "creating EC2 VPC: AccessDenied: User x is not authorized to perform: sts:AssumeRole",
                address="aws_vpc.main",
            ),
            "role_refused",
        ),
        (
            Diagnostic(
                "Cannot assume IAM Role",
                "operation error STS: AssumeRole, https response error StatusCode: 200, RequestID: 1, "
                "decomposing response: read tcp 127.0.0.1:43438->127.0.0.1:34567: "
                "use of closed network connection",
            ),
            "cloud_unreachable",
        ),
        (
            Diagnostic("Plugin did not respond", "write unix @->/tmp/plugin1: write: broken pipe"),
            "terraform_failed",
        ),
        (Diagnostic("Invalid JSON", "unexpected EOF", file="cdk.tf.json"), "configuration_invalid"),
        (Diagnostic("No valid credential sources found", "no EC2 IMDS role found"), "credentials_refused"),
        (
            Diagnostic(
                "creating EC2 EIP: operation error EC2: AllocateAddress, StatusCode: 400, "
                "api error AddressLimitExceeded: The maximum number of addresses has been reached.",
                address="aws_eip.nat",
            ),
            "quota_exceeded",
        ),
        (
            Diagnostic("creating X: api error RequestLimitExceeded: slow down", address="aws_vpc.main"),
            "provider_refused",
        ),
        (
            Diagnostic(
                "creating EKS Cluster (x): api error UnauthorizedOperation: no", address="aws_eks_cluster.x"
            ),
            "permission_missing",
        ),
        (Diagnostic("Error refreshing state: Unable to access object", "x"), "state_unavailable"),
        (Diagnostic("Failed to query available provider packages", "could not connect"), "provider_missing"),
        (Diagnostic("creating RDS: InvalidParameterValue", address="aws_db_instance.x"), "provider_refused"),
        (
            Diagnostic("Extraneous JSON object property", "No argument", file="cdk.tf.json"),
            "configuration_invalid",
        ),
        (Diagnostic("Something new", "words"), "terraform_failed"),
    ],
)
def test_code_says_what_kind_of_failure_it_is(diagnostic: Diagnostic, code: str) -> None:
    error = failure("apply", (diagnostic,), "", 1, RULES)
    assert error.code == code
    assert error.remedy
    assert diagnostic.summary.splitlines()[0] in error.message
    assert diagnostic.detail in error.detail
    assert diagnostic.address in error.message


def test_cause_comes_first_among_several_errors() -> None:
    others = [
        Diagnostic(f"creating S{number}: timeout", address=f"aws_subnet.s{number}") for number in range(20)
    ]
    quota = Diagnostic("creating VPC: VpcLimitExceeded: full", address="aws_vpc.main")
    error = failure("apply", (*others, quota), "", 1, RULES)
    assert error.message == (
        "terraform apply failed at aws_vpc.main: creating VPC: VpcLimitExceeded: full (20 more)"
    )
    assert error.detail.startswith("aws_vpc.main: creating VPC")
    assert len(error.detail.split("\n\n")) == 10
    assert len(error.diagnostics) == 21


def test_diagnostics_are_distinct_errors_without_consequences() -> None:
    lines = [
        '{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"Deprecated"}}',
        '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"execution halted"}}',
        '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"bad","detail":" x\\n",'
        '"address":"a.b","range":{"filename":"main.tf.json"}}}',
        '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"bad","detail":"x","address":"a.b",'
        '"range":{"filename":"main.tf.json"}}}',
    ]
    events = [event for line in lines if (event := parse(line))]
    assert diagnostics(events) == (Diagnostic("bad", "x", "a.b", "main.tf.json"),)
    assert diagnostics(events[:2]) == (Diagnostic("execution halted"),)


def test_error_in_a_box() -> None:
    text = "╷\n│ Error: Backend initialization required\n│ \n│ Reason: password=s3cret\n╵\n"
    assert diagnostic_in_text(text) == Diagnostic(
        "Backend initialization required", "Reason: password=(hidden)"
    )
    assert diagnostic_in_text("nothing wrong") is None
    assert (
        failure("output", (), text, 1).message == "terraform output failed: Backend initialization required"
    )


def test_no_reason_given() -> None:
    error = failure("apply", (), "panic: token=s3cret", 11)
    assert error.message == "terraform apply ended with exit code 11 and gave no reason."
    assert error.detail == "panic: token=(hidden)"
