"""Which permissions an operation of AWS's API asks for: mostly the one of its name.

After the "Service Authorization Reference", and for S3 "Required permissions for Amazon S3 API operations".
"""

from collections.abc import Mapping, Sequence

_S3: Mapping[str, Sequence[str]] = {
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "CompleteMultipartUpload": ("s3:PutObject",),
    "CopyObject": ("s3:PutObject",),
    "CreateMultipartUpload": ("s3:PutObject",),
    "DeleteBucketCors": ("s3:PutBucketCORS",),
    "DeleteBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "DeleteBucketLifecycle": ("s3:PutLifecycleConfiguration",),
    "DeleteBucketOwnershipControls": ("s3:PutBucketOwnershipControls",),
    "DeleteBucketReplication": ("s3:PutReplicationConfiguration",),
    "DeleteBucketTagging": ("s3:PutBucketTagging",),
    "DeleteBucketWebsite": ("s3:DeleteBucketWebsite",),
    "DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "DeletePublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "GetBucketAccelerateConfiguration": ("s3:GetAccelerateConfiguration",),
    "GetBucketCors": ("s3:GetBucketCORS",),
    "GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "GetBucketReplication": ("s3:GetReplicationConfiguration",),
    "GetObjectLockConfiguration": ("s3:GetBucketObjectLockConfiguration",),
    "GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "HeadBucket": ("s3:ListBucket",),
    "HeadObject": ("s3:GetObject",),
    "ListBuckets": ("s3:ListAllMyBuckets",),
    "ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "ListObjectVersions": ("s3:ListBucketVersions",),
    "ListObjects": ("s3:ListBucket",),
    "ListObjectsV2": ("s3:ListBucket",),
    "PutBucketAccelerateConfiguration": ("s3:PutAccelerateConfiguration",),
    "PutBucketCors": ("s3:PutBucketCORS",),
    "PutBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "PutBucketLifecycleConfiguration": ("s3:PutLifecycleConfiguration",),
    "PutBucketReplication": ("s3:PutReplicationConfiguration",),
    "PutObjectLockConfiguration": ("s3:PutBucketObjectLockConfiguration",),
    "PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "UploadPart": ("s3:PutObject",),
}
_PREFIX = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing", "tagging": "tag"}

CREATE_TAGS: Mapping[str, Sequence[str]] = {
    "ec2": ("ec2:CreateTags",),
    "eks": ("eks:TagResource",),
    "elasticache": ("elasticache:AddTagsToResource",),
    "kms": ("kms:TagResource",),
    "logs": ("logs:TagResource",),
    "rds": ("rds:AddTagsToResource",),
    "s3": ("s3:TagResource",),
    "secretsmanager": ("secretsmanager:TagResource",),
}
"""By service: what a create that carries tags asks for besides. IAM has one for each kind of thing."""


def actions(service: str, operation: str) -> Sequence[str]:
    """Return the permissions that an operation asks for on what it names."""
    if service == "s3" and operation in _S3:
        return _S3[operation]
    return (f"{_PREFIX.get(service, service)}:{operation}",)
