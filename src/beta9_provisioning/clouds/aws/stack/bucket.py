"""The bucket of Beta9 in S3."""

import json

from beta9_provisioning.clouds.aws.bucket_policy import tls_only
from beta9_provisioning.clouds.aws.rules import partition_of
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.engine.synthesis.bindings import Resource
from beta9_provisioning.engine.synthesis.blocks import Ref, Value

UPLOAD_DAYS = 7
"""Days after which an upload in parts that nobody ended is removed."""


def add_bucket(draft: Draft) -> Ref:
    """Add the bucket to the stack, closed to the public; return its name."""
    stack, names, config = draft.stack, draft.names, draft.config.data.object_store
    bucket_name = names.bucket(config.bucket_prefix)
    bucket = Resource(stack, "aws_s3_bucket", "main", bucket=bucket_name, force_destroy=True)
    name = bucket.ref("id")
    block = Resource(
        stack,
        "aws_s3_bucket_public_access_block",
        "main",
        bucket=name,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    ownership = Resource(
        stack,
        "aws_s3_bucket_ownership_controls",
        "main",
        bucket=name,
        rule=[{"object_ownership": "BucketOwnerEnforced"}],
        # S3 takes one change of a bucket's access at a time.
        depends_on=[block],
    )
    Resource(
        stack,
        "aws_s3_bucket_policy",
        "main",
        bucket=name,
        policy=json.dumps(tls_only(f"arn:{partition_of(draft.config.cloud.region)}:s3:::{bucket_name}")),
        depends_on=[ownership],
    )
    _encryption(draft, name)
    versioning = []
    if config.versioning:
        versioning = [
            Resource(
                stack,
                "aws_s3_bucket_versioning",
                "main",
                bucket=name,
                versioning_configuration=[{"status": "Enabled"}],
            )
        ]
    _lifecycle(draft, name, versioning)
    return name


def _encryption(draft: Draft, bucket: Ref) -> None:
    """Encrypt with S3's own keys, or the customer's; refuse keys that come with each request (SSE-C)."""
    key = draft.config.cloud.kms_key_arn
    Resource(
        draft.stack,
        "aws_s3_bucket_server_side_encryption_configuration",
        "main",
        bucket=bucket,
        rule=[
            {
                "apply_server_side_encryption_by_default": [
                    {"sse_algorithm": "aws:kms" if key else "AES256", "kms_master_key_id": key}
                ],
                "bucket_key_enabled": True if key else None,
                "blocked_encryption_types": ["SSE-C"],
            }
        ],
    )


def _lifecycle(draft: Draft, bucket: Ref, versioning: list[Resource]) -> None:
    days = draft.config.data.object_store.lifecycle_days
    rules: list[Value] = [
        {
            "id": "remove-unfinished-uploads",
            "status": "Enabled",
            "filter": [{"prefix": ""}],
            "abort_incomplete_multipart_upload": [{"days_after_initiation": UPLOAD_DAYS}],
        }
    ]
    if days is not None:
        rules.append(
            {
                "id": "expire-old-versions",
                "status": "Enabled",
                "filter": [{"prefix": ""}],
                "noncurrent_version_expiration": [{"noncurrent_days": days}],
            }
        )
    Resource(
        draft.stack,
        "aws_s3_bucket_lifecycle_configuration",
        "main",
        bucket=bucket,
        rule=rules,
        depends_on=versioning,
    )
