"""Names of buckets that S3 reserves, at both doors.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
"""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tf.gen import tfplugin_pb2 as pb

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.provider.schema import read_schema
from beta9_simulator.cloud.provider.servicer import AwsProvider
from beta9_simulator.cloud.provider.values import encode
from beta9_simulator.cloud.seeding import Seeded
from beta9_simulator.cloud.store import Store

RESERVED = [
    "xn--abc",
    "sthree-abc",
    "sthree-configurator-abc",
    "amzn-s3-demo-abc",
    "abc-s3alias",
    "abc--ol-s3",
    "abc.mrap",
    "abc--x-s3",
    "abc--table-s3",
    "192.168.5.4",
]
FREE = ["abc", "xn-abc", "sthree", "s3alias", "abc-mrap", "1.2.3.4.5"]


@pytest.mark.parametrize("name", [*RESERVED, *FREE])
def test_the_provider_refuses_reserved_names_before_it_creates(store: Store, name: str) -> None:
    provider = AwsProvider(read_schema(SCHEMA_FILE), store)
    request = pb.ValidateResourceConfig.Request(type_name="aws_s3_bucket", config=encode({"bucket": name}))
    refused = provider.ValidateResourceConfig(request, None).diagnostics
    assert [one.summary for one in refused] == (["invalid value for bucket"] if name in RESERVED else [])


# boto3 asks another service for directory buckets, before S3 sees the name.
@pytest.mark.parametrize("name", [name for name in RESERVED if not name.endswith("--x-s3")])
def test_s3_refuses_reserved_names(api: AwsApi, seeded: Seeded, name: str) -> None:
    s3: Any = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=api.url,
        aws_access_key_id=seeded.access_key,
        aws_secret_access_key=seeded.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError, match="InvalidBucketName"):
        s3.create_bucket(Bucket=name)
