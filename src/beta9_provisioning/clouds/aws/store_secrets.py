"""The stores' passwords that no service of AWS draws, in the customer's Secrets Manager.

They are drawn once, kept there before anything is made with them, and read again by every later attempt. RDS
keeps the password of the database's master user itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.names import REDIS_USER
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession, error_code

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

# ElastiCache takes 16 to 128 characters; hexadecimal ones need no quoting anywhere.
_PASSWORD_BYTES = 32


def redis_password(session: AwsSession, name: str, *, tags: Mapping[str, str], key_arn: str | None) -> str:
    """Return the password of Valkey's user from its secret; draw it and make the secret if there is none.

    When two call it at once, both get the same one. A secret that somebody deleted is taken back.

    Raises:
        AwsError: AWS refused; `secret_unreadable` when the secret holds something else.
    """
    with session.explained(f"keep the secret {name}"):
        text = _read(session, name)
        if text is None:
            _create(session, name, tags, key_arn)
            text = _read(session, name)
    try:
        return str(json.loads(text or "")["password"])
    except (ValueError, KeyError, TypeError):
        # The cause is left out: it would quote the secret.
        raise AwsError(
            f"The secret {name} does not hold Valkey's user and password.",
            detail='Expected JSON of the form {"username": ..., "password": ...}, as it was made.',
            remedy="Restore the secret's former version; what runs with it needs that password.",
            code="secret_unreadable",
        ) from None


def delete(session: AwsSession, name: str) -> None:
    """Delete a secret without recovery; one that is gone stays so.

    Raises:
        AwsError: AWS refused.
    """
    with session.explained(f"delete the secret {name}"):
        try:
            _client(session).delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise


def _read(session: AwsSession, name: str) -> str | None:
    client = _client(session)
    try:
        return client.get_secret_value(SecretId=name).get("SecretString", "")
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        if error_code(error) != "InvalidRequestException":
            raise
    # It is scheduled for deletion, and keeps its name and value meanwhile.
    client.restore_secret(SecretId=name)
    return client.get_secret_value(SecretId=name).get("SecretString", "")


def _create(session: AwsSession, name: str, tags: Mapping[str, str], key_arn: str | None) -> None:
    document = {"username": REDIS_USER, "password": secrets.token_hex(_PASSWORD_BYTES)}
    try:
        _client(session).create_secret(
            Name=name,
            Description="Valkey of Beta9",
            SecretString=json.dumps(document),
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            **({"KmsKeyId": key_arn} if key_arn else {}),  # type: ignore[arg-type]
        )
    except ClientError as error:
        if error_code(error) != "ResourceExistsException":
            raise


def _client(session: AwsSession) -> SecretsManagerClient:
    client: SecretsManagerClient = session.client("secretsmanager")
    return client
