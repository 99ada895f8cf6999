"""The key of KMS that a customer chose for all that is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient
    from types_boto3_kms.type_defs import KeyMetadataTypeDef


def check(session: AwsSession, key_arn: str) -> None:
    """See that a key can be used for encryption at rest.

    Raises:
        AwsError: `key_unusable` when it is disabled, waits for its deletion, or encrypts nothing; or AWS
            refused.
    """
    kms: KMSClient = session.client("kms")
    with session.explained(f"look at the key {key_arn}"):
        key = kms.describe_key(KeyId=key_arn)["KeyMetadata"]
    if (fault := _fault(key)) is not None:
        raise AwsError(
            f"The key {key_arn} {fault}.",
            detail="What stores data in AWS takes enabled symmetric keys only.",
            remedy="Enable the key, or name another one in cloud.kms_key_arn.",
            code="key_unusable",
        )


def _fault(key: KeyMetadataTypeDef) -> str | None:
    state = key.get("KeyState")
    if state != "Enabled":
        return f"is {state}"
    if key.get("KeySpec") != "SYMMETRIC_DEFAULT":
        return f"is of the kind {key.get('KeySpec')}"
    return None
