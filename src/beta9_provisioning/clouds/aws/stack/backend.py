"""The state of a stack in S3."""

from typing import Any

from cdktn import S3Backend

from beta9_provisioning.clouds.aws.stack.bare import backend_body
from beta9_provisioning.engine.synthesis.bindings import Stack


class State(S3Backend):
    """Where the stack's state is kept; the arguments are those of `backend_body`."""

    def __init__(self, stack: Stack, /, **arguments: Any) -> None:
        stack.register(("terraform", "backend", "s3"), backend_body(**arguments))
        # CDK Terrain checks that the target versions have the lock file; the rest comes from the body above.
        super().__init__(stack, bucket="", key="", use_lockfile=True)
