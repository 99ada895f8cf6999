"""What an attempt lays beside an environment's Terraform state, for the attempt after it.

Objects of the state bucket below the environment's own prefix: they go when the state is purged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.clouds.cloud import UnsavedState
from beta9_provisioning.kit.texts import ANSWER_BYTES

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_ABSENT = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_OPERATION = "operation"


class BesideState:
    """The place beside one environment's state, in a bucket of one account."""

    def __init__(self, session: AwsSession, account_id: str, bucket: str, environment_id: str) -> None:
        self._session = session
        self._bucket = bucket
        self._owner = account_id
        self._stack = f"environments/{environment_id}/stack.tf.json"
        self._unsaved = f"environments/{environment_id}/unsaved/"

    def keep_stack(self, operation_id: str, content: bytes) -> None:
        """Lay an operation's stack here, in the place of an earlier one's.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("keep the stack of the operation"):
            self._s3.put_object(
                Bucket=self._bucket,
                ExpectedBucketOwner=self._owner,
                Key=self._stack,
                Body=content,
                ContentType="application/json",
                Metadata={_OPERATION: operation_id},
            )

    def kept_stack(self, operation_id: str | None) -> bytes | None:
        """Return the stack that lies here, if there is one, and it is of this operation or none is given.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("read the stack of an operation"):
            try:
                answer = self._s3.get_object(
                    Bucket=self._bucket, ExpectedBucketOwner=self._owner, Key=self._stack
                )
            except ClientError as error:
                if error_code(error) in _ABSENT:
                    return None
                raise
            if operation_id not in (None, answer["Metadata"].get(_OPERATION)):
                return None
            return answer["Body"].read(ANSWER_BYTES)

    def keep_unsaved(self, state: UnsavedState) -> None:
        """Lay a state here that could not be saved.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("keep a state that could not be saved"):
            self._s3.put_object(
                Bucket=self._bucket,
                ExpectedBucketOwner=self._owner,
                Key=self._unsaved + state.id,
                Body=state.content,
                ContentType="application/json",
            )

    def unsaved(self) -> list[UnsavedState]:
        """Return the states that were laid here.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("look for states that could not be saved"):
            return [UnsavedState(key.removeprefix(self._unsaved), self._read(key)) for key in self._keys()]

    def forget_unsaved(self, id_: str) -> None:
        """Delete a state that was laid here.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("delete a state that is saved by now"):
            self._s3.delete_object(
                Bucket=self._bucket, ExpectedBucketOwner=self._owner, Key=self._unsaved + id_
            )

    @property
    def _s3(self) -> S3Client:
        client: S3Client = self._session.client("s3")
        return client

    def _keys(self) -> Iterator[str]:
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, ExpectedBucketOwner=self._owner, Prefix=self._unsaved
            ):
                yield from (entry["Key"] for entry in page.get("Contents", ()))
        except ClientError as error:
            if error_code(error) not in _ABSENT:
                raise

    def _read(self, key: str) -> bytes:
        return self._s3.get_object(Bucket=self._bucket, ExpectedBucketOwner=self._owner, Key=key)[
            "Body"
        ].read(ANSWER_BYTES)
