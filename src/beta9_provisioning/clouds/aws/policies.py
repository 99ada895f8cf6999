"""Policies as IAM and S3 read them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]


def policy(statements: Sequence[Statement]) -> str:
    """Return the policy document of some statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def tls_only(bucket_arn: str) -> Statement:
    """Return the statement that every bucket of ours has: it refuses every request without TLS."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
