"""The buckets of an environment, but for the state's: what is in them, and how they are emptied."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.clouds.cloud import Contents

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef

# Requests to delete 1,000 versions each that are under way at the same time. S3 takes 3,500 deletes a second
# of one prefix, and slows down who asks for more ("Optimizing Amazon S3 performance" in its user guide).
_THREADS = 6
# Pages that are listed before they are deleted: not all of a huge bucket may be in memory.
_PAGES = 4 * _THREADS
_TOLD_SECONDS = 10.0
# Counted no further: to refuse a delete it is enough.
_MOST_COUNTED = 100_000
_ABSENT = "NoSuchBucket"
# Of single objects in an answer that is none itself, so that nobody has tried again.
_PASSING = frozenset({"InternalError", "ServiceUnavailable", "SlowDown"})


def buckets_of(session: AwsSession, environment_id: str) -> list[str]:
    """Return the names of an environment's buckets."""
    own = names(environment_id)
    s3: S3Client = session.client("s3")
    pages = s3.get_paginator("list_buckets").paginate()
    return [
        name for page in pages for bucket in page["Buckets"] if own.is_bucket(name := bucket.get("Name", ""))
    ]


def contents(session: AwsSession, environment_id: str, is_own: Callable[[str], bool]) -> list[Contents]:
    """Return what is in each bucket, without objects whose keys `is_own` accepts; empty buckets are left out.

    What S3 wrote into the log of accesses is nobody's.

    Raises:
        AwsError: AWS failed, or the role may not look.
    """
    own = names(environment_id)
    found = []
    with session.explained("list the objects of the environment"):
        for bucket in buckets_of(session, environment_id):
            if own.is_log_bucket(bucket):
                continue
            counted = _count(session.client("s3"), bucket, is_own)
            if counted.objects:
                found.append(counted)
    return found


def _count(s3: S3Client, bucket: str, is_own: Callable[[str], bool]) -> Contents:
    objects = size = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", ()):
            if not is_own(entry["Key"]):
                objects, size = objects + 1, size + entry["Size"]
        if objects >= _MOST_COUNTED:
            return Contents(bucket, objects, size, is_all=False)
    return Contents(bucket, objects, size)


def empty(
    session: AwsSession,
    environment_id: str,
    tell: Callable[[str, int], None],
    is_over: Callable[[], bool],
) -> None:
    """Delete all objects of an environment in all versions; `tell` hears a bucket and how many are gone.

    Ends early when `is_over`: who goes on writing would keep it busy for ever.

    Raises:
        AwsError: AWS refused to delete an object or failed.
        Stopped: the session's stop event was set.
    """
    with session.explained("empty the environment's buckets"):
        for bucket in buckets_of(session, environment_id):
            try:
                _empty(session.client("s3"), bucket, tell, is_over)
            except ClientError as error:
                if error_code(error) != _ABSENT:
                    raise


def _empty(s3: S3Client, bucket: str, tell: Callable[[str, int], None], is_over: Callable[[], bool]) -> None:
    """List some pages, delete them at the same time, and begin anew.

    A listing is never continued behind a version that is deleted by then: that is not relied on.
    """
    deleted, told = 0, time.monotonic()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="empty-bucket") as pool:
        while not is_over() and (pages := list(islice(_pages(s3, bucket), _PAGES))):
            deleted += sum(pool.map(partial(_delete, s3, bucket), pages))
            if time.monotonic() - told >= _TOLD_SECONDS:
                told = time.monotonic()
                tell(bucket, deleted)
    if deleted:
        tell(bucket, deleted)


def _pages(s3: S3Client, bucket: str) -> Iterator[list[ObjectIdentifierTypeDef]]:
    """Yield versions and delete markers, at most 1,000 at a time: as many as one request may delete."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        entries = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        if entries:
            yield [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]


def _delete(s3: S3Client, bucket: str, doomed: list[ObjectIdentifierTypeDef]) -> int:
    """Delete versions, and return how many are gone: those that S3 was too busy for are listed again."""
    answer: Any = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})
    failures = answer.get("Errors", ())
    for failure in failures:
        if failure.get("Code") in _PASSING:
            continue
        raise AwsError(
            f"The object {failure.get('Key')} in the bucket {bucket} could not be deleted.",
            detail=f"{failure.get('Code')}: {failure.get('Message')}",
            remedy="Allow the role s3:DeleteObject and s3:DeleteObjectVersion on the bucket, and lift any "
            "lock on its objects.",
        )
    return len(doomed) - len(failures)
