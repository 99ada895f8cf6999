"""A wrong clock is told as one, in all of AWS's spellings; it looked like wrong credentials."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.support.fake_sts import FakeSts, fake_sts, gives, refuses, says

from beta9_provisioning.clouds.aws.clock import skew_of
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.state_bucket import StateBucket
from beta9_provisioning.clouds.aws.sts import sts_of
from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.engine.terraform.errors import Diagnostic, failure

BEHIND = (
    "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T002500Z - 15 min.)"
)
AHEAD = (
    "Signature not yet current: 20260101T030000Z is still later than 20260101T000500Z "
    "(20260101T000000Z + 5 min.)"
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = "Thu, 01 Jan 2026 00:40:00 GMT"
OWN = Credentials("AKIAOWN", "own-secret")
ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"


@pytest.mark.parametrize(
    ("code", "message", "date", "words"),
    [
        ("SignatureDoesNotMatch", BEHIND, "", "25 minutes behind AWS's"),
        ("InvalidSignatureException", AHEAD, "", "3 hours ahead of AWS's"),
        ("RequestExpired", "Request has expired.", LATER, "40 minutes behind AWS's"),
        ("RequestExpired", "Request has expired.", "", "too far from AWS's"),
        ("RequestInTheFuture", "", "", "too far from AWS's"),
        (
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
            LATER,
            "40 minutes behind",
        ),
        ("403", "Forbidden", LATER, "40 minutes behind AWS's"),
    ],
)
def test_a_clock_that_is_wrong_looked_like_wrong_credentials(
    code: str, message: str, date: str, words: str
) -> None:
    skew = skew_of(code, message, now=NOW, date=date)
    assert skew is not None
    assert words in skew.words


@pytest.mark.parametrize(
    ("code", "date"),
    [
        ("RequestExpired", "Thu, 01 Jan 2026 00:01:00 GMT"),
        ("AuthFailure", ""),
        ("AuthFailure", "tomorrow"),
        ("403", "Thu, 01 Jan 2026 00:10:00 GMT"),
        ("AccessDenied", LATER),
    ],
)
def test_other_refusals_do_not_blame_the_clock(code: str, date: str) -> None:
    assert skew_of(code, "No.", now=NOW, date=date) is None


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSts]:
    """An S3 whose answers are scripted, and an STS beside it that gives the role."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOWN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own-secret")
    with fake_sts() as sts, fake_sts() as s3:
        sts.will(gives("ASIAROLE"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        yield s3


def refusal() -> AwsError:
    session = AwsSession(
        region="us-east-1", role_arn=ROLE, external_id=None, session_name="test", s3_path_style=True
    )
    with pytest.raises(AwsError) as caught:
        StateBucket(session, "123456789012", threading.Event()).ensure("env_0123456789abcdef")
    return caught.value


def test_s3_names_both_times(s3: FakeSts) -> None:
    """The document as S3 sends it, through botocore's parser."""
    s3.will(
        says(200, ""),
        says(
            403,
            "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time "
            "and the current time is too large.</Message><RequestTime>20260101T000000Z</RequestTime>"
            "<ServerTime>2026-01-03T00:00:00Z</ServerTime></Error>",
        ),
    )
    error = refusal()
    assert error.code == "clock_skewed"
    assert error.message.startswith("AWS refused to prepare the state bucket beta9-")
    assert error.message.endswith(": the worker's clock is 2 days behind AWS's.")
    assert "NTP" in error.remedy


def test_a_wrong_clock_said_that_the_state_bucket_was_somebody_elses(s3: FakeSts) -> None:
    """A HEAD is refused without a word."""
    s3.will(says(403, "", Date=format_datetime(datetime.now(UTC) + timedelta(hours=5), usegmt=True)))
    error = refusal()
    assert error.code == "clock_skewed"
    assert error.message.endswith("the worker's clock is 5 hours behind AWS's.")
    s3.will(says(403, ""))
    assert refusal().code == "bucket_taken"


def test_the_token_command_told_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_sts() as fake:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", fake.url)
        fake.will(refuses(403, "SignatureDoesNotMatch", BEHIND))
        with pytest.raises(AwsError) as caught:
            sts_of("us-east-1").assume_role(OWN, ROLE, external_id=None, session_name="test")
    assert caught.value.code == "clock_skewed"
    assert caught.value.message.endswith("your clock is 25 minutes behind AWS's.")


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        (
            f"operation error STS: AssumeRole, StatusCode: 403, api error SignatureDoesNotMatch: {AHEAD}",
            "3 hours",
        ),
        (
            "operation error EC2: DescribeVpcs, api error RequestExpired: Request has expired.",
            "far",
        ),
        (
            "StatusCode: 403, api error RequestTimeTooSkewed: The difference between the request time",
            "too far",
        ),
        ("api error InvalidSignatureException: " + BEHIND.replace(" ", "\n"), "25 minutes behind AWS's"),
    ],
)
def test_terraform_told_of_a_refused_role_or_a_missing_permission(detail: str, words: str) -> None:
    error = failure("apply", (Diagnostic("Cannot assume IAM Role", detail, "aws_vpc.main"),), "", 1, RULES)
    assert error.code == "clock_skewed"
    assert "the worker's clock is" in error.message
    assert words in error.message
