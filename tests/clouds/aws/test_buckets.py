"""How an environment's buckets are emptied: by an S3 that is busy, refuses, or is written to meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from beta9_provisioning.clouds.aws import buckets
from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer
    from types_boto3_s3 import S3Client

ENVIRONMENT = "env_bucket0123456789"
BUCKET = names(ENVIRONMENT).bucket("it")
Failure = dict[str, Any]


class Filled:
    """A bucket with an object, and what S3 says to the first deletes of single objects."""

    def __init__(self, session: AwsSession) -> None:
        self.session = session
        self.s3: S3Client = session.client("s3")
        self.told: list[tuple[str, int]] = []
        self.failures: list[str] = []
        self.s3.meta.events.register("after-call.s3.DeleteObjects", self._fail)
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_object(Bucket=BUCKET, Key="one", Body=b"1")

    def _fail(self, parsed: dict[str, Any], **_: object) -> None:
        if self.failures:
            self.s3.put_object(Bucket=BUCKET, Key="one", Body=b"1")
            parsed["Errors"] = [{"Key": "one", "Code": self.failures.pop(), "Message": "Reduce your rate."}]

    def empty(self, *, is_over: bool = False) -> None:
        buckets.empty(self.session, ENVIRONMENT, lambda *told: self.told.append(told), lambda: is_over)

    @property
    def keys(self) -> list[str]:
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


@pytest.fixture
def filled(customer: Customer) -> Iterator[Filled]:
    session = AwsSession(
        region="us-east-1",
        role_arn=customer.seeded.role_arn,
        external_id=customer.seeded.external_id,
        session_name="tests",
        s3_path_style=True,
    )
    made = Filled(session)
    yield made
    made.failures.clear()
    made.empty()
    made.s3.delete_bucket(Bucket=BUCKET)


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "ServiceUnavailable"])
def test_objects_that_s3_was_too_busy_for_are_deleted_again(filled: Filled, code: str) -> None:
    filled.failures = [code, code]
    filled.empty()
    assert filled.keys == []
    assert filled.told == [(BUCKET, 1)]


def test_a_refusal_is_told_with_what_to_allow(filled: Filled) -> None:
    filled.failures = ["AccessDenied"]
    with pytest.raises(AwsError, match="The object one in the bucket") as caught:
        filled.empty()
    assert "s3:DeleteObjectVersion" in caught.value.remedy


def test_it_ends_when_it_is_told_to(filled: Filled) -> None:
    filled.empty(is_over=True)
    assert filled.keys == ["one"]
