"""The state of a stack in S3."""

from typing import Any

from cdktn import S3Backend

from beta9_provisioning.engine.synthesis.bindings import Stack
from beta9_provisioning.engine.synthesis.blocks import literal


class State(S3Backend):
    """Where the stack's state is kept: an encrypted object in S3, locked by S3's own lock file.

    The role is assumed by Terraform itself, which also renews it.
    """

    def __init__(
        self,
        stack: Stack,
        /,
        *,
        bucket: str,
        key: str,
        region: str,
        role_arn: str,
        external_id: str | None = None,
        session_name: str | None = None,
        path_style: bool = False,
    ) -> None:
        role = {"role_arn": role_arn, "external_id": external_id, "session_name": session_name}
        body: dict[str, Any] = {
            "bucket": literal(bucket),
            "key": literal(key),
            "region": literal(region),
            "encrypt": True,
            "assume_role": {name: literal(value) for name, value in role.items() if value is not None},
        }
        if path_style:
            body["use_path_style"] = True
        stack.register(("terraform", "backend", "s3"), body)
        # CDK Terrain checks that the target versions have the lock file; the rest comes from the body above.
        super().__init__(stack, bucket="", key="", use_lockfile=True)
