"""What is asked of the account before an environment is made: a database's class, a customer's key."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.clouds.aws.conftest import Customer
from tests.support.configs import config

from beta9_provisioning.clouds.aws import machine_images
from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.choices import Choices
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_simulator.cloud.node_rules import recommended_release

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient


def wanted(customer: Customer, **cloud: str) -> EnvironmentConfig:
    target = customer.target
    section = {
        "provider": "aws",
        "region": target.region,
        "account_id": target.account_id,
        "role_arn": target.role_arn,
        "external_id": target.external_id,
        **cloud,
    }
    return config(cloud=section, data={"postgres": {"multi_az": True}})


def chosen_class(customer: Customer) -> str:
    choices = AwsAccount(customer.target).choose(wanted(customer))
    return Choices.model_validate(choices).postgres.instance_class


@pytest.fixture
def not_orderable(customer: Customer) -> Iterator[None]:
    """Lets the test say what cannot be had, and takes it back."""
    yield
    customer.store.set_setting("not_orderable", "")


@pytest.mark.usefixtures("not_orderable")
def test_the_first_class_of_a_size_is_taken_that_can_be_had(customer: Customer) -> None:
    assert chosen_class(customer) == "db.t4g.medium"
    customer.store.set_setting("not_orderable", "db.t4g.medium")
    assert chosen_class(customer) == "db.t3.medium"
    customer.store.set_setting("not_orderable", "db.t4g.medium db.t3.medium")
    with pytest.raises(AwsError) as caught:
        chosen_class(customer)
    assert caught.value.code == "class_unavailable"
    assert "db.t4g.medium, db.t3.medium" in caught.value.message


def test_nodes_start_from_the_image_that_aws_recommends_today(customer: Customer) -> None:
    made = Choices.model_validate(AwsAccount(customer.target).choose(wanted(customer)))
    assert made.system is not None
    assert made.nodes is not None
    assert made.kubernetes is not None
    assert made.nodes.release == made.system.release == recommended_release(made.kubernetes.version)


def test_a_version_without_an_image_is_told(customer: Customer) -> None:
    with pytest.raises(AwsError, match=r"no machine image for Kubernetes 1\.9 in") as caught:
        machine_images.release(session_of(customer), "1.9")
    assert caught.value.code == "image_unavailable"


def session_of(customer: Customer) -> AwsSession:
    target = customer.target
    return AwsSession(
        region=target.region, role_arn=target.role_arn, external_id=target.external_id, session_name="tests"
    )


def kms(customer: Customer) -> "KMSClient":
    client: KMSClient = session_of(customer).client("kms")
    return client


def test_a_key_that_cannot_encrypt_is_refused_before_anything_is_made(customer: Customer) -> None:
    client, account = kms(customer), AwsAccount(customer.target)
    good = client.create_key()["KeyMetadata"]["Arn"]
    assert account.choose(wanted(customer, kms_key_arn=good))
    disabled = client.create_key()["KeyMetadata"]["Arn"]
    client.disable_key(KeyId=disabled.rpartition("/")[2])
    dying = client.create_key()["KeyMetadata"]["Arn"]
    client.schedule_key_deletion(KeyId=dying.rpartition("/")[2])
    signing = client.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    for key, word in ((disabled, "Disabled"), (dying, "PendingDeletion"), (signing, "RSA_2048")):
        with pytest.raises(AwsError, match=word) as caught:
            account.choose(wanted(customer, kms_key_arn=key))
        assert caught.value.code == "key_unusable"
    assert not customer.store.find("aws_s3_bucket", account=customer.target.account_id)
