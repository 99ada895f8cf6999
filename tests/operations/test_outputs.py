"""Terraform's outputs: what configures Beta9 is whole, what users see holds no secret."""

import json
from pathlib import Path
from typing import Any

from tests.operations.run.provisions import Provision

from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps import infrastructure
from beta9_provisioning.operations.steps.bootstrap import visible

VALUES = {"token_endpoint": "https://idp.example/token", "redis_url": "rediss://beta9:pw@redis.example:6379"}
OUTPUTS = {name: {"sensitive": False, "type": "string", "value": value} for name, value in VALUES.items()}
# Tells its outputs as Terraform does, in an event at the end of an apply and when it is asked. Plans nothing.
TERRAFORM = """#!/bin/sh
case "$1" in
show) echo '{{}}' ;;
apply) cat <<'EVENT'
{event}
EVENT
;;
output) cat <<'DOCUMENT'
{document}
DOCUMENT
esac
"""


def test_outputs_that_look_like_secrets_reach_the_next_step_as_they_are(
    sessions: Sessions, tmp_path: Path
) -> None:
    program = tmp_path / "terraform"
    event = json.dumps({"type": "outputs", "@level": "info", "outputs": OUTPUTS})
    program.write_text(TERRAFORM.format(event=event, document=json.dumps(OUTPUTS)))
    program.chmod(0o755)
    provision = Provision(sessions, tmp_path)
    provision.settings = provision.settings.model_copy(update={"terraform_binary": str(program)})
    arrived: list[dict[str, Any]] = []

    def apply(context: Context) -> None:
        context.stack = tmp_path
        context.choices = context.cloud.earlier_choices(context.config)
        infrastructure.apply(context)
        arrived.append(context.outputs)

    assert provision.run(apply) is OperationStatus.SUCCEEDED
    assert arrived == [VALUES]


def test_an_output_declared_as_sensitive_is_not_published() -> None:
    outputs = {"region": "us-east-1", "redis_host": "h", "database_secret_arn": "arn"}
    assert visible(outputs, frozenset({"redis_host"})) == {"region": "us-east-1"}
