"""The state bucket, on the simulated AWS: several accounts, versions, encryption, owners."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.state_bucket import StateBucket, bucket_name, state_key
from beta9_provisioning.engine.errors import Stopped
from beta9_simulator.cloud.seeding import seed

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer
    from types_boto3_s3 import S3Client

NO_ENCRYPTION = "ServerSideEncryptionConfigurationNotFoundError"
ENV_1, ENV_2 = "env_0000000000000001", "env_0000000000000002"


def session(customer: Customer, region: str = "us-east-1") -> AwsSession:
    return AwsSession(
        region=region,
        role_arn=customer.seeded.role_arn,
        external_id=customer.seeded.external_id,
        session_name="test",
        s3_path_style=True,
    )


def bucket(customer: Customer, region: str = "us-east-1", stop: threading.Event | None = None) -> StateBucket:
    return StateBucket(session(customer, region), customer.seeded.account, stop or threading.Event())


def s3(customer: Customer, region: str = "us-east-1") -> S3Client:
    client: S3Client = session(customer, region).client("s3")
    return client


def name_of(customer: Customer, region: str = "us-east-1") -> str:
    return bucket_name(customer.seeded.account, region)


def fake_answer(request: AWSPreparedRequest, status: int, code: str) -> AWSResponse:
    """Stand in for S3 where moto differs: it ignores a policy's conditions and who owns a bucket."""
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
    raw = SimpleNamespace(stream=lambda **_: iter([body]))
    return AWSResponse(request.url, status, HeadersDict(), raw)  # type: ignore[arg-type]


def versions(customer: Customer) -> list[str]:
    answer = s3(customer).list_object_versions(Bucket=name_of(customer))
    return [entry["Key"] for entry in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))]


def test_names() -> None:
    assert bucket_name("123456789012", "eu-west-1") == "beta9-tfstate-123456789012-eu-west-1"
    assert state_key(ENV_1) == f"environments/{ENV_1}/terraform.tfstate"


def test_makes_a_protected_bucket_with_the_marker(customer: Customer) -> None:
    bucket(customer).ensure(ENV_1)

    name, client = name_of(customer), s3(customer)
    assert client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    blocked = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert all(blocked.values())
    assert len(blocked) == 4
    rules = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") == "AES256"
    ownership = client.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    marker = client.get_object(Bucket=name, Key=f"environments/{ENV_1}/environment.json")
    assert json.loads(marker["Body"].read())["environment_id"] == ENV_1


def test_other_regions_get_their_location(customer: Customer) -> None:
    bucket(customer, "eu-west-1").ensure(ENV_1)

    answer = s3(customer, "eu-west-1").get_bucket_location(Bucket=name_of(customer, "eu-west-1"))
    assert answer["LocationConstraint"] == "eu-west-1"


def test_repeating_adds_no_version_and_keeps_the_customers_encryption(customer: Customer) -> None:
    bucket(customer).ensure(ENV_1)
    name, client = name_of(customer), s3(customer)
    client.put_bucket_encryption(
        Bucket=name,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
        },
    )
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})

    bucket(customer).ensure(ENV_1)

    rules = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") == "aws:kms"
    assert client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert len(versions(customer)) == 1


@pytest.mark.parametrize("has_policy", [False, True])
def test_only_tls_is_allowed_unless_the_customer_has_a_policy(
    customer: Customer, has_policy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.com")
    own, sent = session(customer), dict[tuple[str, str], Any]()

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent[request.method, request.url.partition("?")[2]] = request.body
        absent = request.method == "GET" and not (has_policy and request.url.endswith("policy"))
        if not absent:
            return fake_answer(request, 200, "")
        absences = {"policy": "NoSuchBucketPolicy", "lifecycle": "NoSuchLifecycleConfiguration"}
        kind = absences.get(request.url.rpartition("?")[2], NO_ENCRYPTION)
        return fake_answer(request, 404, kind)

    own.client("s3").meta.events.register("before-send.s3", answer)
    StateBucket(own, customer.seeded.account, threading.Event()).ensure(ENV_1)

    assert b"<NoncurrentDays>30<" in sent["PUT", "lifecycle"]
    assert b"<DaysAfterInitiation>7<" in sent["PUT", "lifecycle"]
    assert b"<EncryptionType>SSE-C<" in sent["PUT", "encryption"]
    assert (("PUT", "policy") in sent) is not has_policy
    if not has_policy:
        statement = json.loads(sent["PUT", "policy"])["Statement"][0]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert f"arn:aws:s3:::{name_of(customer)}/*" in statement["Resource"]


def test_many_at_once(customer: Customer) -> None:
    ids = [f"env_{number:016d}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda id_: bucket(customer).ensure(id_), ids))
    assert len(versions(customer)) == 6


def delete_with(client: S3Client, name: str, **_: Any) -> None:
    client.delete_bucket(Bucket=name)


def vanishing(customer: Customer) -> AwsSession:
    """A session before whose marker the bucket is deleted by somebody else, every time."""
    own = session(customer)
    handler = partial(delete_with, s3(customer), name_of(customer))
    own.client("s3").meta.events.register("before-call.s3.PutObject", handler)
    return own


def test_made_again_when_it_vanishes_in_between(customer: Customer) -> None:
    own, other = session(customer), s3(customer)
    vanished: list[str] = []

    def vanish(**_: Any) -> None:
        if not vanished:
            vanished.append("once")
            other.delete_bucket(Bucket=name_of(customer))

    own.client("s3").meta.events.register("before-call.s3.PutObject", vanish)
    StateBucket(own, customer.seeded.account, threading.Event()).ensure(ENV_1)

    assert vanished
    assert versions(customer) == [f"environments/{ENV_1}/environment.json"]


def test_gives_up_when_it_keeps_vanishing(customer: Customer) -> None:
    own = StateBucket(vanishing(customer), customer.seeded.account, threading.Event())
    with pytest.raises(AwsError, match="prepare the state bucket"):
        own.ensure(ENV_1, settle_seconds=0)


def test_stops_waiting(customer: Customer) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        StateBucket(vanishing(customer), customer.seeded.account, stop).ensure(ENV_1)


def taken(customer: Customer, own: AwsSession) -> AwsError:
    with pytest.raises(AwsError) as caught:
        StateBucket(own, customer.seeded.account, threading.Event()).ensure(ENV_1)
    assert caught.value.code == "bucket_taken"
    assert caught.value.remedy
    return caught.value


def test_refuses_a_bucket_of_another_account(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = seed(customer.store, account="210987654321")
    other = AwsSession(
        region="us-east-1",
        role_arn=stranger.role_arn,
        external_id=stranger.external_id,
        session_name="stranger",
        s3_path_style=True,
    )
    other.client("s3").create_bucket(Bucket=name_of(customer))

    assert name_of(customer) in taken(customer, session(customer)).message


def test_refuses_a_bucket_that_another_account_makes_first(customer: Customer) -> None:
    own = session(customer)

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        return fake_answer(request, 409, "BucketAlreadyExists") if request.method == "PUT" else None

    own.client("s3").meta.events.register("before-send.s3", answer)
    taken(customer, own)


def test_purge_removes_every_version_and_then_the_bucket(customer: Customer) -> None:
    bucket(customer).ensure(ENV_1)
    own, name = session(customer), name_of(customer)
    client: S3Client = own.client("s3")
    for number in range(5):
        client.put_object(Bucket=name, Key=state_key(ENV_1), Body=str(number).encode())
    client.delete_object(Bucket=name, Key=state_key(ENV_1))  # leaves a delete marker
    asked: list[int] = []

    def pages_of_two(params: dict[str, Any], **_: Any) -> None:
        """Stand in for thousands of versions: S3 answers with at most 1,000."""
        asked.append(1)
        params["MaxKeys"] = 2

    client.meta.events.register("provide-client-params.s3.ListObjectVersions", pages_of_two)
    StateBucket(own, customer.seeded.account, threading.Event()).purge(ENV_1)

    assert len(asked) > 2
    with pytest.raises(ClientError, match="404"):
        s3(customer).head_bucket(Bucket=name)


def test_purge_leaves_other_environments_alone(customer: Customer) -> None:
    bucket(customer).ensure(ENV_1)
    bucket(customer).ensure(ENV_2)

    bucket(customer).purge(ENV_1)
    assert versions(customer) == [f"environments/{ENV_2}/environment.json"]

    bucket(customer).purge(ENV_1)  # again, with nothing to do
    assert len(versions(customer)) == 1


def test_purge_without_a_bucket_does_nothing(customer: Customer) -> None:
    bucket(customer).purge(ENV_1)


def test_purge_names_what_could_not_be_deleted(customer: Customer) -> None:
    own = session(customer)
    bucket(customer).ensure(ENV_1)

    def refuse(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Errors"] = [{"Key": "k", "Code": "AccessDenied", "Message": "no"}]

    own.client("s3").meta.events.register("after-call.s3.DeleteObjects", refuse)
    with pytest.raises(AwsError, match="The object k in the bucket"):
        StateBucket(own, customer.seeded.account, threading.Event()).purge(ENV_1)
