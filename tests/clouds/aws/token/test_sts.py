"""Asking STS: where it is, what its refusals mean, and that whoever answers in its place does no harm."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from pathlib import Path

import botocore.session
import pytest
from tests.support.fake_sts import Answer, FakeSts, drops, fake_sts, gives, refuses, says

from beta9_provisioning.clouds.aws import sts as module
from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.sts import ANSWER_BYTES, PAUSES, sts_of
from beta9_provisioning.engine.errors import EngineError
from beta9_simulator.cluster.certificates import server_context

OWN = Credentials("AKIAOWN", "own-secret", "own/token+==")
ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"
ATTEMPTS = 1 + len(PAUSES)
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {n} "{f"&{o};" * 10}">' for o, n in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><b>&i;</b>"
)
CREDENTIALS = "<r><Credentials><AccessKeyId>A</AccessKeyId>{}</Credentials></r>"


def ask() -> Credentials:
    """Ask the STS that the environment names."""
    return sts_of("us-east-1").assume_role(OWN, ROLE, external_id=None, session_name="test")


def failure() -> EngineError:
    """How asking fails; whatever happens, it tells no secret."""
    with pytest.raises(EngineError) as caught:
        ask()
    error = caught.value
    shown = f"{error.message} {error.detail} {error.remedy} {error!r}"
    assert not [secret for secret in (OWN.secret_key, OWN.session_token) if str(secret) in shown]
    assert len(error.detail) <= 500
    assert error.detail.isprintable()
    return error


def test_every_regions_endpoint_is_botocores() -> None:
    core = botocore.session.Session()
    partitions = json.loads((files("botocore") / "data" / "partitions.json").read_text())["partitions"]
    regions = [region for item in partitions for region in item["regions"]]
    for region in [region for region in regions if not region.endswith("-global")]:
        client = core.create_client("sts", region, aws_access_key_id="a", aws_secret_access_key="s")
        assert sts_of(region).endpoint == client.meta.endpoint_url


def test_the_environment_names_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example.com/")
    assert sts_of("us-east-1").endpoint == "https://all.example.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:4566")
    assert sts_of("us-east-1").endpoint == "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    "value", ["sts.example.com", "ftp://sts.example.com", "https://", "https://127.0.0.1:port", "https://["]
)
def test_an_endpoint_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", value)
    assert failure().code == "aws_unreachable"


def test_a_role_is_assumed(fake: FakeSts) -> None:
    fake.will(gives("ASIAROLE", "a/secret+", "a/token+=="))
    assert ask() == Credentials("ASIAROLE", "a/secret+", "a/token+==")
    (asked,) = fake.asked
    assert (asked.method, asked.target, asked.access_key) == ("POST", "/", "AKIAOWN")
    assert asked.headers["x-amz-security-token"] == "own/token+=="
    assert "x-amz-security-token" in asked.headers["authorization"]
    assert "own-secret" not in str(asked)


def test_a_role_is_assumed_with_a_web_identity(fake: FakeSts) -> None:
    fake.will(gives("ASIAROLE", "a/secret+", "a/token+=="))
    role = sts_of("us-east-1").assume_role_with_web_identity("a.b-c.d", ROLE, session_name="test")
    assert role == Credentials("ASIAROLE", "a/secret+", "a/token+==")
    (asked,) = fake.asked
    assert "authorization" not in asked.headers
    assert asked.fields == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "test",
        "WebIdentityToken": "a.b-c.d",
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDenied", "aws_failed"),
        ("InvalidIdentityToken", "aws_failed"),
        ("ExpiredTokenException", "credentials_invalid"),
    ],
)
def test_a_web_identity_that_is_refused(fake: FakeSts, code: str, expected: str) -> None:
    fake.will(refuses(400, code, "Because."))
    with pytest.raises(EngineError) as caught:
        sts_of("us-east-1").assume_role_with_web_identity("a.b-c.d", ROLE, session_name="test")
    assert caught.value.code == expected
    assert "with a web identity" in caught.value.message
    assert caught.value.detail == f"{code}: Because."


@pytest.mark.parametrize(
    ("status", "aws_code", "code"),
    [
        (403, "AccessDenied", "role_refused"),
        (403, "InvalidClientTokenId", "credentials_invalid"),
        (403, "SignatureDoesNotMatch", "credentials_invalid"),
        (400, "ExpiredTokenException", "credentials_invalid"),
        (403, "RegionDisabledException", "region_disabled"),
        (400, "Throttling", "aws_throttled"),
        (400, "ValidationError", "aws_failed"),
        (500, "InternalFailure", "aws_failed"),
        (503, "ServiceUnavailable", "aws_failed"),
        (403, "", "aws_failed"),
    ],
)
def test_refusals(fake: FakeSts, status: int, aws_code: str, code: str) -> None:
    fake.will(refuses(status, aws_code, "Because."))
    error = failure()
    assert error.code == code
    assert "Because." in error.detail
    assert "worker" not in f"{error.message} {error.remedy}"


def test_a_refusal_is_explained_also_when_nobody_tells_who_asked(fake: FakeSts) -> None:
    fake.will(refuses(403, "AccessDenied"), says(200, "<Arn/>"))
    error = failure()
    assert error.code == "role_refused"
    assert "ARN of your IAM user or role" in error.remedy


@pytest.mark.parametrize(
    ("arn", "trusted"),
    [
        ("arn:aws:iam::1:user/me", "arn:aws:iam::1:user/me"),
        ("arn:aws:sts::1:assumed-role/Admin/me", "arn:aws:iam::1:role/Admin"),
    ],
)
def test_the_hint_names_who_asked(fake: FakeSts, arn: str, trusted: str) -> None:
    fake.will(refuses(403, "AccessDenied"), says(200, f"<r><Arn>{arn}</Arn></r>"))
    assert f'"AWS": "{trusted}"' in failure().remedy
    assert fake.asked[1].fields["Action"] == "GetCallerIdentity"


@pytest.mark.parametrize(
    "busy", [refuses(400, "Throttling"), refuses(500, "InternalFailure"), says(503, "Busy."), drops]
)
def test_what_passes_is_tried_again(fake: FakeSts, busy: Answer) -> None:
    fake.will(*[busy] * (ATTEMPTS - 1), gives("ASIAROLE"))
    assert ask().access_key == "ASIAROLE"
    assert len(fake.asked) == ATTEMPTS


@pytest.mark.parametrize("busy", [refuses(400, "Throttling"), says(503, "Busy."), drops])
def test_patience_ends(fake: FakeSts, busy: Answer) -> None:
    fake.will(busy)
    failure()
    assert len(fake.asked) == ATTEMPTS


@pytest.mark.parametrize(
    "answer",
    [
        says(200, b"a" * 4 * ANSWER_BYTES),
        says(200, "<r>" + "a" * 4 * ANSWER_BYTES + "</r>"),
        says(200, b""),
        says(200, b"\x00\xff\xfe\x1b[2Jgarbage"),
        says(200, "<html>Please log in<br></html>"),
        says(200, BOMB),
        says(200, b"<r/>", Content_Encoding="gzip", Content_Length="9"),
        says(302, "", Location="http://127.0.0.1:1/"),
        says(307, "<html/>x", Location="http://127.0.0.1:1/"),
        says(403, "<html>Forbidden by your company</html><br>"),
        says(407, "Log in."),
        says(502, "Bad gateway"),
        drops,
    ],
)
def test_somebody_else_answers(fake: FakeSts, answer: Answer) -> None:
    fake.will(answer)
    assert failure().code == "aws_unreachable"


@pytest.mark.parametrize(
    "content",
    [
        "<r/>",
        "<a>" * 5000 + "</a>" * 5000,
        CREDENTIALS.format(""),
        CREDENTIALS.format("<SecretAccessKey>s</SecretAccessKey><SessionToken>a\nb: c</SessionToken>"),
        "<r><Credentials/></r>",
    ],
)
def test_an_answer_without_credentials(fake: FakeSts, content: str) -> None:
    fake.will(says(200, content))
    assert failure().code == "aws_failed"


def test_words_are_shown_without_secrets_and_controls(fake: FakeSts) -> None:
    quoted = (
        f"It should have been 'POST\nx-amz-security-token:{OWN.session_token}\n\x85' \u202e " + "long " * 500
    )
    fake.will(refuses(403, "SignatureDoesNotMatch", quoted))
    expected = "SignatureDoesNotMatch: It should have been 'POST x-amz-security-token:(hidden) ' long"
    assert failure().detail.startswith(expected)


@pytest.fixture
def hanging(fake: FakeSts) -> Iterator[FakeSts]:
    """An STS that takes a request and stays silent until the test is over."""
    over = threading.Event()

    def stay_silent(_handler: BaseHTTPRequestHandler) -> None:
        over.wait(60)

    fake.will(stay_silent)
    yield fake
    over.set()


def test_silence(hanging: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    assert failure().code == "aws_unreachable"


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    error = failure()
    assert error.code == "aws_unreachable"
    assert "us-east-1" in error.message


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_sts() as proxy:
        proxy.will(says(403, "Not here."))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert failure().code == "aws_unreachable"
    asked = {(item.method, item.target) for item in proxy.asked}
    assert asked == {("CONNECT", "sts.us-east-1.amazonaws.com:443")}


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://me:pass-word@127.0.0.1", "http://["])
def test_a_proxy_that_is_none(proxy: str, fake: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    error = failure()
    assert error.code == "aws_unreachable"
    assert "pass-word" not in error.detail


def test_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = server_context("127.0.0.1")
    bundle = tmp_path / "ca.pem"
    bundle.write_text(authority)
    with fake_sts(context) as fake:
        fake.will(gives("ASIAROLE"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", fake.url)
        error = failure()
        assert error.code == "certificate_untrusted"
        assert "certificate" in error.detail.lower()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        assert ask().access_key == "ASIAROLE"
        bundle.write_text("no certificate")
        assert failure().message.startswith(f"AWS_CA_BUNDLE is {bundle}, which holds no certificate")
        bundle.unlink()
        assert "which cannot be read: No such file or directory." in failure().message
