"""Terraform's S3 backend through the API door: state, native lock file, assumed role."""

import json
import re
from typing import Any

import boto3
import pytest
from botocore.config import Config
from tests.simulator.cloud.provider.test_terraform import TRUST

from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.inventory import inventory
from beta9_simulator.cloud.principals import find_principal
from beta9_simulator.cloud.sts import assume_role

KEY = "environments/env_1/terraform.tfstate"
ROLE = {"aws_iam_role": {"it": {"name": "it", "assume_role_policy": TRUST}}}


@pytest.fixture
def s3(api: AwsApi, terraform: Any) -> Any:
    seeded = terraform.seeded
    user = find_principal(terraform.store, seeded.access_key)
    assert user is not None
    session = assume_role(terraform.store, user, seeded.role_arn, "test", external_id=seeded.external_id)
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=api.url,
        aws_access_key_id=session.access_key,
        aws_secret_access_key=session.secret_key,
        aws_session_token=session.session_token,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket="state")
    client.put_bucket_versioning(Bucket="state", VersioningConfiguration={"Status": "Enabled"})
    return client


def configure(terraform: Any, api: AwsApi, resources: dict[str, Any] | None = None, **changes: Any) -> None:
    role = {"role_arn": terraform.seeded.role_arn, "external_id": terraform.seeded.external_id, **changes}
    backend = {
        "bucket": "state",
        "key": KEY,
        "region": "us-east-1",
        "use_lockfile": True,
        "encrypt": True,
        "use_path_style": True,
        "assume_role": role,
    }
    terraform.extra = {"AWS_ENDPOINT_URL": api.url}
    terraform.write(ROLE if resources is None else resources, backend=backend)


def test_state_and_lock_live_in_the_customer_s_bucket(terraform: Any, api: AwsApi, s3: Any) -> None:
    configure(terraform, api)
    terraform.init()
    terraform.apply()
    state = json.loads(s3.get_object(Bucket="state", Key=KEY)["Body"].read())
    assert [each["type"] for each in state["resources"]] == ["aws_iam_role"]
    assert {item["Key"] for item in s3.list_objects_v2(Bucket="state")["Contents"]} == {KEY}
    assert {item.type for item in inventory(terraform.store)} == {"aws_iam_role", "aws_s3_bucket"}


def test_a_held_lock_is_respected(terraform: Any, api: AwsApi, s3: Any) -> None:
    configure(terraform, api)
    terraform.init()
    lock = {
        "ID": "f00",
        "Operation": "OperationTypeApply",
        "Who": "somebody@elsewhere",
        "Info": "",
        "Path": KEY,
    }
    s3.put_object(Bucket="state", Key=f"{KEY}.tflock", Body=json.dumps(lock).encode())
    printed = terraform.apply(fails=True)
    assert re.search(r"Error acquiring the state lock", printed)
    assert "somebody@elsewhere" in printed


def test_the_backend_s_role_is_checked_too(terraform: Any, api: AwsApi, s3: Any) -> None:
    del s3
    configure(terraform, api, external_id="wrong")
    assert "AccessDenied" in terraform.run("init", "-no-color", "-input=false", fails=True)


def test_a_bucket_that_holds_something_is_not_deleted(terraform: Any, api: AwsApi, s3: Any) -> None:
    bucket = {"aws_s3_bucket": {"it": {"bucket": "data", "force_destroy": False}}}
    configure(terraform, api, bucket)
    terraform.init()
    terraform.apply()
    s3.put_object(Bucket="data", Key="k", Body=b"x")
    assert "BucketNotEmpty" in terraform.destroy(fails=True)
    bucket["aws_s3_bucket"]["it"]["force_destroy"] = True
    configure(terraform, api, bucket)
    terraform.apply()
    terraform.destroy()
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["state"]
