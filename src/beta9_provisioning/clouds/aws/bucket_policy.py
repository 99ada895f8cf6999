"""The policy that every bucket of ours has."""

from collections.abc import Mapping
from typing import Any


def tls_only(bucket_arn: str) -> Mapping[str, Any]:
    """Return the policy document that refuses every request without TLS."""
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
