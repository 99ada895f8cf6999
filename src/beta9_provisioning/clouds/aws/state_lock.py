"""The lock on an environment's Terraform state, in the form of Terraform's own lock in S3.

Terraform's S3 backend (`use_lockfile`) locks a state by making the object `<key>.tflock` on the condition
that there is none, and unlocks it by deleting the object, a JSON document (`statemgr.LockInfo` in Terraform's
source). This is the same object, so that a Terraform that somebody runs by hand respects it and tells who
holds it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.clouds.cloud import StateLock

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
# Terraform's own have some hundred bytes; what is longer is no lock that we could read.
_LOCK_BYTES = 64 * 1024
_ABSENT = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


class StateLockObject:
    """The lock of one state, whose `key` is in a bucket of one account."""

    def __init__(self, session: AwsSession, account_id: str, bucket: str, key: str) -> None:
        self._session = session
        self._account_id = account_id
        self._bucket = bucket
        self._state = f"{bucket}/{key}"
        self._key = f"{key}.tflock"

    def take(self, lock: StateLock) -> StateLock | None:
        """Make the lock and return None, also when it was made before; else return the one in the way.

        What is returned has no id when it vanished, or changed hands, while it was looked at: ask again.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("lock the environment's state"):
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    ExpectedBucketOwner=self._account_id,
                    Key=self._key,
                    Body=json.dumps(self._document(lock)).encode(),
                    ContentType="application/json",
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if error_code(error) not in _TAKEN:
                    raise
            else:
                return None
            # Also when a request was repeated, because the answer to the first one was lost.
            held, _ = self._read()
        return None if held.id == lock.id else held

    def release(self, lock_id: str) -> bool:
        """Delete the lock if it has this id, and return whether that was done.

        Anybody else's stays, even one that is made at this moment.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("unlock the environment's state"):
            held, etag = self._read()
            if held.id != lock_id:
                return False
            try:
                self._s3.delete_object(
                    Bucket=self._bucket, ExpectedBucketOwner=self._account_id, Key=self._key, IfMatch=etag
                )
            except ClientError as error:
                if error_code(error) not in _TAKEN | _ABSENT:
                    raise
                return False
        return True

    @property
    def _s3(self) -> S3Client:
        client: S3Client = self._session.client("s3")
        return client

    def _document(self, lock: StateLock) -> dict[str, str]:
        return {
            "ID": lock.id,
            "Operation": lock.operation,
            "Info": lock.info,
            "Who": lock.who,
            "Version": "",  # of Terraform, of which one lock may outlast several
            "Created": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "Path": self._state,
        }

    def _read(self) -> tuple[StateLock, str]:
        """Return the lock and its ETag; a lock without an id when there is none."""
        place = f"s3://{self._bucket}/{self._key}"
        try:
            answer = self._s3.get_object(
                Bucket=self._bucket, ExpectedBucketOwner=self._account_id, Key=self._key
            )
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return StateLock(id="", place=place), ""
            raise
        try:
            document: Any = json.loads(answer["Body"].read(_LOCK_BYTES))
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            # Somebody's, whoever that is: Terraform respects any object of this name.
            return StateLock(id="unreadable", place=place), answer["ETag"]
        lock = StateLock(
            id=str(document.get("ID", "")),
            operation=str(document.get("Operation", "")),
            info=str(document.get("Info", "")),
            who=str(document.get("Who", "")),
            created=str(document.get("Created", "")),
            place=place,
        )
        return lock, answer["ETag"]
