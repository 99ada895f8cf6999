"""The stores' passwords in the customer's Secrets Manager: drawn once, read again, taken back, deleted."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.clouds.aws.conftest import Customer

from beta9_provisioning.clouds.aws import store_secrets
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

NAME = "beta9-456789abcdef-redis"
TAGS = {"beta9:environment-id": "env_0123456789abcdef"}


def session(customer: Customer) -> AwsSession:
    target = customer.target
    return AwsSession(
        region=target.region, role_arn=target.role_arn, external_id=target.external_id, session_name="tests"
    )


def secrets(customer: Customer) -> "SecretsManagerClient":
    client: SecretsManagerClient = session(customer).client("secretsmanager")
    return client


def password(customer: Customer) -> str:
    return store_secrets.redis_password(session(customer), NAME, tags=TAGS, key_arn=None)


def test_a_password_is_drawn_once_even_by_many_at_once(customer: Customer) -> None:
    with ThreadPoolExecutor(4) as pool:
        drawn = set(pool.map(lambda _: password(customer), range(4)))
    assert len(drawn) == 1
    assert len(next(iter(drawn))) == 64
    assert drawn == {password(customer)}


def test_a_secret_that_somebody_deleted_is_taken_back(customer: Customer) -> None:
    before = password(customer)
    secrets(customer).delete_secret(SecretId=NAME)
    assert password(customer) == before


def test_a_deleted_secret_is_gone_at_once_and_may_be_deleted_again(customer: Customer) -> None:
    before = password(customer)
    own = session(customer)
    store_secrets.delete(own, NAME)
    store_secrets.delete(own, NAME)
    assert password(customer) != before


def test_a_secret_of_another_form_is_not_quoted(customer: Customer) -> None:
    secrets(customer).create_secret(Name=NAME, SecretString="not-json-but-secret")
    with pytest.raises(AwsError) as caught:
        password(customer)
    assert caught.value.code == "secret_unreadable"
    assert "not-json" not in f"{caught.value.message}{caught.value.detail}{caught.value.__cause__}"


def test_secrets_keep_their_names_until_they_are_gone(customer: Customer) -> None:
    client = secrets(customer)
    client.create_secret(Name=NAME, SecretString="one")
    with pytest.raises(client.exceptions.ResourceExistsException):
        client.create_secret(Name=NAME, SecretString="two")
    client.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
    with pytest.raises(client.exceptions.InvalidRequestException, match="marked for deletion"):
        client.get_secret_value(SecretId=NAME)
    with pytest.raises(client.exceptions.InvalidRequestException, match="already scheduled for deletion"):
        client.create_secret(Name=NAME, SecretString="two")
    client.restore_secret(SecretId=NAME)
    assert client.get_secret_value(SecretId=NAME)["SecretString"] == "one"
    client.delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.restore_secret(SecretId=NAME)
    client.create_secret(Name=NAME, SecretString="two")
