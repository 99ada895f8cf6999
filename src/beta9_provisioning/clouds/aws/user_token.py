"""A token for an EKS cluster out of the user's own AWS credentials, without an AWS SDK.

kubectl calls this each time, on people's machines, so it needs little: httpx, and `awscrt` (the AWS Common
Runtime), which finds credentials and signs. Who the user is: see `own_credentials`.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from beta9_provisioning.clouds.aws.own_credentials import SESSION_NAME, own_credentials
from beta9_provisioning.clouds.aws.signing import Credentials, presigned_url
from beta9_provisioning.clouds.aws.sts import Sts, sts_for

TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105  a format's name, not a secret
# One minute less than EKS allows, for clocks that differ; the AWS CLI does the same.
TOKEN_MINUTES = 14
# What the presigned URL asks for. EKS ignores it, but refuses more than 15 minutes; this is the AWS CLI's.
URL_SECONDS = 60


def user_credential(
    *, cluster: str, region: str, role_arn: str, external_id: str | None
) -> dict[str, object]:
    """Return the ExecCredential document with which a kubeconfig's exec plugin answers kubectl.

    The user's own credentials assume the role, and the role signs the token, which is good for TOKEN_MINUTES.
    AWS is asked once, and once more for each role between the user and this one.

    Raises:
        EngineError: `credentials_missing`, `credentials_invalid`, `role_refused`, `region_disabled`,
            `aws_unreachable`, `aws_throttled` or `aws_failed`.
    """
    sts = sts_for(region, role_arn)
    role = sts.assume_role(own_credentials(sts), role_arn, external_id=external_id, session_name=SESSION_NAME)
    now = datetime.now(UTC)
    expires_at = now + timedelta(minutes=TOKEN_MINUTES)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": {},
        "status": {
            "expirationTimestamp": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "token": signed_token(role, sts, cluster, at=now),
        },
    }


def signed_token(role: Credentials, sts: Sts, cluster: str, *, at: datetime) -> str:
    """Return a token of the role for the cluster, signed at this time: a presigned request to STS.

    The form is aws-iam-authenticator's: EKS sends the request to learn who signed it. Nobody is asked here.
    """
    url = presigned_url(
        role,
        url=f"{sts.endpoint}/?Action=GetCallerIdentity&Version=2011-06-15",
        region=sts.region,
        headers={"x-k8s-aws-id": cluster},
        seconds=URL_SECONDS,
        at=at,
    )
    return TOKEN_PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
