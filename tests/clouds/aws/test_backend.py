"""The state of a stack in S3, as CDK Terrain writes it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.engine.synthesis.providers import load_schema
from beta9_provisioning.engine.synthesis.synthesize import TARGET_VERSIONS, set_up_jsii

if TYPE_CHECKING:
    from beta9_provisioning.clouds.aws.stack.backend import State
    from beta9_provisioning.engine.synthesis import bindings
else:
    set_up_jsii()
    from beta9_provisioning.clouds.aws.stack.backend import State
    from beta9_provisioning.engine.synthesis import bindings

from cdktn import App
from jsii.errors import JSIIError


def test_the_state_is_encrypted_locked_and_reached_by_the_role(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), stack_traces=False, context={"targetVersions": TARGET_VERSIONS})
    stack = bindings.Stack(app, "state", load_schema(SCHEMA_FILE))
    bindings.Provider(stack, region="eu-west-1")
    State(
        stack,
        bucket="b",
        key="environments/e/terraform.tfstate",
        region="eu-west-1",
        role_arn="arn:aws:iam::123456789012:role/Beta9Provisioner",
        external_id="-1.8881545897087827e+289",
        session_name="s",
        path_style=False,
    )
    document = json.loads((stack.synthesize(tmp_path) / "cdk.tf.json").read_text(encoding="utf-8"))
    assert document["terraform"]["backend"] == {
        "s3": {
            "bucket": "b",
            "key": "environments/e/terraform.tfstate",
            "region": "eu-west-1",
            "encrypt": True,
            "use_lockfile": True,
            "assume_role": {
                "role_arn": "arn:aws:iam::123456789012:role/Beta9Provisioner",
                "external_id": "-1.8881545897087827e+289",
                "session_name": "s",
            },
        }
    }


def test_older_target_versions_are_refused_a_lock_file(tmp_path: Path) -> None:
    old = App(outdir=str(tmp_path), context={"targetVersions": {"terraform": ">=1.5.7"}})
    stack = bindings.Stack(old, "old", load_schema(SCHEMA_FILE))
    bindings.Provider(stack, region="eu-west-1")
    State(
        stack,
        bucket="b",
        key="k",
        region="r",
        role_arn="a",
        external_id=None,
        session_name="s",
        path_style=True,
    )
    with pytest.raises((JSIIError, RuntimeError), match=r"1\.10"):
        stack.synthesize(tmp_path)
