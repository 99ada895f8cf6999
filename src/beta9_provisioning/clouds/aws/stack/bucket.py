"""The bucket of Beta9 in S3, and the one with the log of accesses to it."""

from collections.abc import Sequence

from beta9_provisioning.clouds.aws.policies import Statement, policy, tls_only
from beta9_provisioning.clouds.aws.rules import partition_of
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.engine.synthesis.bindings import Resource
from beta9_provisioning.engine.synthesis.blocks import Ref, Value

UPLOAD_DAYS = 7
"""Days after which an upload in parts that nobody ended is removed."""
ACCESS_LOG_DAYS = 30
_ACCESSES = "accesses/"


def add_bucket(draft: Draft) -> Ref:
    """Add the bucket to the stack, closed to the public; return its name."""
    config, key = draft.config.data.object_store, draft.config.cloud.kms_key_arn
    name = draft.names.bucket(config.bucket_prefix)
    bucket = _closed_bucket(draft, "main", name, [tls_only(_arn(draft, name))])
    # A key of KMS that AWS manages asks no permission of those who may read the bucket.
    _encryption(draft, "main", bucket, {"sse_algorithm": "aws:kms", "kms_master_key_id": key}, by_key=True)
    versioning = [_versioning(draft, "main", bucket)] if config.versioning else []
    _lifecycle(draft, "main", bucket, versioning, days=config.lifecycle_days)
    Resource(
        draft.stack,
        "aws_s3_bucket_logging",
        "main",
        bucket=bucket,
        target_bucket=_log_bucket(draft, name),
        target_prefix=_ACCESSES,
    )
    return bucket


def _log_bucket(draft: Draft, logged: str) -> Ref:
    """Add the bucket to which S3 writes who reached the other one; S3 takes no key of KMS for it:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshooting-server-access-logging.html
    """
    name = draft.names.log_bucket(draft.config.data.object_store.bucket_prefix)
    arn = _arn(draft, name)
    written_by_s3 = {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"{arn}/{_ACCESSES}*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": _arn(draft, logged)},
            "StringEquals": {"aws:SourceAccount": draft.config.cloud.account_id},
        },
    }
    bucket = _closed_bucket(draft, "logs", name, [tls_only(arn), written_by_s3])
    _encryption(draft, "logs", bucket, {"sse_algorithm": "AES256"}, by_key=False)
    versioning = [_versioning(draft, "logs", bucket)]
    _lifecycle(draft, "logs", bucket, versioning, days=ACCESS_LOG_DAYS, expires=True)
    return bucket


def _arn(draft: Draft, bucket: str) -> str:
    return f"arn:{partition_of(draft.config.cloud.region)}:s3:::{bucket}"


def _closed_bucket(draft: Draft, key: str, bucket_name: str, statements: Sequence[Statement]) -> Ref:
    """Add a bucket that no list opens, with a policy of these statements; return its name."""
    stack = draft.stack
    bucket = Resource(stack, "aws_s3_bucket", key, bucket=bucket_name, force_destroy=True)
    name = bucket.ref("id")
    block = Resource(
        stack,
        "aws_s3_bucket_public_access_block",
        key,
        bucket=name,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    ownership = Resource(
        stack,
        "aws_s3_bucket_ownership_controls",
        key,
        bucket=name,
        rule=[{"object_ownership": "BucketOwnerEnforced"}],
        # S3 takes one change of a bucket's access at a time.
        depends_on=[block],
    )
    Resource(
        stack,
        "aws_s3_bucket_policy",
        key,
        bucket=name,
        policy=policy(statements),
        depends_on=[ownership],
    )
    return name


def _encryption(draft: Draft, key: str, bucket: Ref, default: dict[str, Value], *, by_key: bool) -> None:
    """Encrypt objects by default; refuse keys that come with the request (SSE-C)."""
    Resource(
        draft.stack,
        "aws_s3_bucket_server_side_encryption_configuration",
        key,
        bucket=bucket,
        rule=[
            {
                "apply_server_side_encryption_by_default": [default],
                # One request to KMS for many objects.
                "bucket_key_enabled": True if by_key else None,
                "blocked_encryption_types": ["SSE-C"],
            }
        ],
    )


def _versioning(draft: Draft, key: str, bucket: Ref) -> Resource:
    return Resource(
        draft.stack,
        "aws_s3_bucket_versioning",
        key,
        bucket=bucket,
        versioning_configuration=[{"status": "Enabled"}],
    )


def _lifecycle(
    draft: Draft,
    key: str,
    bucket: Ref,
    versioning: list[Resource],
    *,
    days: int | None,
    expires: bool = False,
) -> None:
    """Remove unfinished uploads, versions of before after so many days, and then objects if they expire."""
    everything: Value = [{"prefix": ""}]
    rules: list[Value] = [
        {
            "id": "remove-unfinished-uploads",
            "status": "Enabled",
            "filter": everything,
            "abort_incomplete_multipart_upload": [{"days_after_initiation": UPLOAD_DAYS}],
        }
    ]
    if days is not None:
        rules.append(
            {
                "id": "expire-old-versions",
                "status": "Enabled",
                "filter": everything,
                "noncurrent_version_expiration": [{"noncurrent_days": days}],
                **({"expiration": [{"days": days}]} if expires else {}),
            }
        )
    Resource(
        draft.stack,
        "aws_s3_bucket_lifecycle_configuration",
        key,
        bucket=bucket,
        rule=rules,
        depends_on=versioning,
    )
