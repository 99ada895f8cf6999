"""A token for an EKS cluster: a presigned request to STS, as aws-iam-authenticator defines it.

EKS sends the request to STS to learn who signed it, and accepts a token for 15 minutes after it was signed.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from beta9_provisioning.clouds.aws.signing import Credentials, presigned_url
from beta9_provisioning.engine.kubernetes.access import Token

TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105  a format's name, not a secret
# One minute less than EKS allows, for clocks that differ; the AWS CLI does the same.
TOKEN_MINUTES = 14
# What the presigned URL asks for. EKS ignores it, but refuses more than 15 minutes; this is the AWS CLI's.
URL_SECONDS = 60


def signed_token(role: Credentials, *, endpoint: str, region: str, cluster: str, at: datetime) -> Token:
    """Return a token of the role for the cluster, signed at this time (UTC). Nobody is asked.

    `endpoint` is the address of the region's STS, without a slash at the end.
    """
    url = presigned_url(
        role,
        url=f"{endpoint}/?Action=GetCallerIdentity&Version=2011-06-15",
        region=region,
        headers={"x-k8s-aws-id": cluster},
        seconds=URL_SECONDS,
        at=at,
    )
    encoded = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return Token(TOKEN_PREFIX + encoded, at + timedelta(minutes=TOKEN_MINUTES))
