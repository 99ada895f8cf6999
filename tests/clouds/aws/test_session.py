"""Sessions as the customer's role, and what refusals become."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, ParamValidationError

from beta9_provisioning import clouds
from beta9_provisioning.clouds.aws.inventory_kinds import NAMED
from beta9_provisioning.clouds.aws.refusals import AwsError, trust_statement, trusted_arn
from beta9_provisioning.clouds.aws.service_models import LOADER, SERVICES, preload
from beta9_provisioning.clouds.aws.session import ROLE_SECONDS, AwsSession

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer
    from types_boto3_sts import STSClient


def session(customer: Customer, **changes: Any) -> AwsSession:
    arguments: dict[str, Any] = {
        "region": "us-east-1",
        "role_arn": customer.seeded.role_arn,
        "external_id": customer.seeded.external_id,
        "session_name": "beta9-test",
    }
    return AwsSession(**{**arguments, **changes})


def who(session: AwsSession) -> str:
    sts: STSClient = session.client("sts")
    with session.explained("ask who it is"):
        return sts.get_caller_identity()["Arn"]


def refusal(session: AwsSession) -> AwsError:
    with pytest.raises(AwsError) as caught:
        who(session)
    return caught.value


def test_acts_as_the_role_under_its_session_name(customer: Customer) -> None:
    arn = who(session(customer))
    assert arn == f"arn:aws:sts::{customer.seeded.account}:assumed-role/Beta9Provisioner/beta9-test"


def test_one_client_per_service(customer: Customer) -> None:
    own = session(customer)
    assert own.client("sts") is own.client("sts")
    assert own.client("sts").meta.config.connect_timeout == 5
    assert own.client("sts").meta.config.read_timeout == 30


def test_sessions_share_descriptions_of_services_and_no_credentials(customer: Customer) -> None:
    other_role = f"arn:aws:iam::{customer.seeded.account}:role/Other"
    first, again = session(customer), session(customer, session_name="again")
    stranger = session(customer, role_arn=other_role)
    assert who(first).endswith("/beta9-test")
    assert who(again).endswith("/again")
    assert refusal(stranger).code == "role_refused"
    keys = {own.credentials().get_frozen_credentials().access_key for own in (first, again)}
    assert len(keys) == 2
    assert customer.seeded.access_key not in keys
    assert first.client("sts") is not again.client("sts")


def test_sessions_of_several_threads_read_a_description_once(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = type(LOADER)()
    monkeypatch.setattr("beta9_provisioning.clouds.aws.session.LOADER", loader)
    read: list[str] = []
    load = loader.load_data_with_path

    def counting(name: str) -> Any:
        read.append(name)
        return load(name)

    monkeypatch.setattr(loader, "load_data_with_path", counting)
    with ThreadPoolExecutor(4) as pool:
        arns = set(pool.map(who, [session(customer, session_name=f"thread-{n}") for n in range(4)]))
    assert len(arns) == 4
    assert len([name for name in read if name.startswith("sts/") and name.endswith("/service-2")]) == 1


def test_the_services_that_are_preloaded_are_those_that_are_asked() -> None:
    sources = [file.read_text() for file in Path(clouds.aws.__path__[0]).glob("*.py")]
    asked = re.findall(r"""client\(\s*"([a-z0-9-]+)""", "".join(sources))
    assert {*asked, *(known.service for known in NAMED.values())} == set(SERVICES)


def test_after_preloading_a_client_reads_no_file(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise AssertionError(f"{path} was read")

    preload()
    monkeypatch.setattr(LOADER.file_loader, "load_file", refuse)
    own = session(customer)
    for service in SERVICES:
        own.client(service)
    assert who(own).endswith("/beta9-test")


def test_renews_the_credentials_before_they_expire(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = session(customer)
    first = own.credentials().get_frozen_credentials().access_key
    assert own.credentials().get_frozen_credentials().access_key == first

    later = datetime.now(UTC) + timedelta(seconds=ROLE_SECONDS - 60)
    monkeypatch.setattr("botocore.credentials._local_now", lambda: later)
    monkeypatch.setattr(own.credentials(), "_time_fetcher", lambda: later)
    assert own.credentials().get_frozen_credentials().access_key != first


@pytest.mark.parametrize("external_id", ["wrong-one", None])
def test_a_refused_role_shows_the_statement_that_is_needed(
    customer: Customer, external_id: str | None
) -> None:
    error = refusal(session(customer, external_id=external_id))

    assert error.code == "role_refused"
    assert customer.seeded.role_arn in error.message
    assert customer.seeded.user_arn in error.remedy
    assert "sts:AssumeRole" in error.remedy
    assert ("wrong-one" in error.remedy) == (external_id is not None)
    everything = error.message + error.detail + error.remedy
    assert customer.seeded.secret_key not in everything
    assert customer.seeded.external_id not in everything


def test_no_credentials(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    own = session(customer)

    assert refusal(own).code == "credentials_missing"
    with pytest.raises(AwsError, match="no AWS credentials"):
        own.credentials()


def test_a_metadata_service_that_does_not_answer_does_not_hang(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
        # It never answers: without a bound of its own this would not return.
        assert refusal(session(customer)).code == "credentials_missing"


def test_unknown_credentials(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODYKNOWSTHIS0")
    assert refusal(session(customer)).code == "credentials_invalid"


def test_wrong_secret(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    error = refusal(session(customer))
    assert error.code == "credentials_invalid"
    assert "not-the-secret" not in str(vars(error))


def test_nobody_answers(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refused at once
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        error = refusal(session(customer))
    assert error.code == "aws_unreachable"
    assert "us-east-1" in error.message


@pytest.mark.parametrize(
    ("code", "operation", "expected"),
    [
        ("AccessDenied", "GetObject", "permission_missing"),
        ("UnauthorizedOperation", "DescribeVpcs", "permission_missing"),
        ("AccessDeniedException", "DescribeCluster", "permission_missing"),
        ("RegionDisabledException", "AssumeRole", "region_disabled"),
        ("OptInRequired", "DescribeVpcs", "region_disabled"),
        ("ExpiredToken", "ListBuckets", "credentials_invalid"),
        ("ThrottlingException", "DescribeCluster", "aws_throttled"),
        ("InternalFailure", "DescribeCluster", "aws_failed"),
    ],
)
def test_answers_become_codes(customer: Customer, code: str, operation: str, expected: str) -> None:
    with pytest.raises(AwsError) as caught, session(customer).explained("do something"):
        raise ClientError({"Error": {"Code": code, "Message": "because"}}, operation)
    assert caught.value.code == expected
    assert "because" in caught.value.detail
    assert caught.value.remedy or expected == "aws_failed"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CredentialRetrievalError(provider="container", error_msg="no"), "credentials_missing"),
        (ParamValidationError(report="bad"), "aws_failed"),
    ],
)
def test_failures_before_an_answer_become_codes(customer: Customer, error: Exception, expected: str) -> None:
    with pytest.raises(AwsError) as caught, session(customer).explained("do something"):
        raise error
    assert caught.value.code == expected


def test_trusts_the_role_behind_a_session() -> None:
    assert (
        trusted_arn("arn:aws-cn:sts::123456789012:assumed-role/worker/i-0abc")
        == "arn:aws-cn:iam::123456789012:role/worker"
    )
    assert trusted_arn("arn:aws:iam::1:user/a") == "arn:aws:iam::1:user/a"


def test_the_statement_demands_an_external_id_only_if_there_is_one() -> None:
    assert trust_statement("arn", "b9-1")["Condition"] == {"StringEquals": {"sts:ExternalId": "b9-1"}}
    assert "Condition" not in trust_statement("arn", None)
