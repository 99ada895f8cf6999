"""A token for an EKS cluster out of the user's own AWS credentials, without an AWS SDK.

kubectl calls this each time, on people's machines, so it needs httpx and nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime

from beta9_provisioning.clouds.aws.own_credentials import SESSION_NAME, own_credentials
from beta9_provisioning.clouds.aws.sts import sts_of
from beta9_provisioning.clouds.aws.token import signed_token
from beta9_provisioning.engine.kubernetes.access import exec_credential


def user_credential(
    *, cluster: str, region: str, role_arn: str, external_id: str | None
) -> dict[str, object]:
    """Return the ExecCredential document with which a kubeconfig's exec plugin answers kubectl.

    The user's own credentials assume the role, and the role signs the token. AWS is asked once, and once
    more for each role between the user and this one.

    Raises:
        AwsError: `credentials_missing`, `credentials_invalid`, `role_refused`, `region_disabled`,
            `aws_unreachable`, `certificate_untrusted`, `clock_skewed`, `aws_throttled` or `aws_failed`.
    """
    sts = sts_of(region)
    role = sts.assume_role(own_credentials(sts), role_arn, external_id=external_id, session_name=SESSION_NAME)
    now = datetime.now(UTC)
    return exec_credential(signed_token(role, endpoint=sts.endpoint, region=region, cluster=cluster, at=now))
