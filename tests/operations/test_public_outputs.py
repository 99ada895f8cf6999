"""What users see of Terraform's outputs."""

from beta9_provisioning.operations.steps.bootstrap import visible


def test_an_output_declared_as_sensitive_is_not_published() -> None:
    outputs = {"region": "us-east-1", "redis_host": "h", "database_secret_arn": "arn"}
    assert visible(outputs, frozenset({"redis_host"})) == {"region": "us-east-1"}
