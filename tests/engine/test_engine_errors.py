"""Errors repeat what clouds, clusters and tools said, and no secret of theirs."""

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.helm.command import Output


def test_awss_quote_of_a_request_does_not_show_the_session_token() -> None:
    quoted = "SignatureDoesNotMatch: The string should have been 'GET\n/\nhost:sts\nx-amz-security-token:"
    error = EngineError("It failed: password=s3cret.", detail=f"{quoted}s3cret\n\nhost;x-amz-security-token'")
    assert "s3cret" not in f"{error} {error!r} {error.message} {error.detail}"
    assert error.detail.startswith("SignatureDoesNotMatch: The string should have been")


def test_an_answer_of_aws_that_cannot_be_read_does_not_show_its_credentials() -> None:
    body = "b'<AssumeRoleResult><Credentials><SecretAccessKey>s3cret</SecretAccessKey><SessionToken>s3cret"
    error = EngineError(
        "It failed.", detail=f"Unable to parse response, invalid XML received:\n{body}0123456789'"
    )
    assert "s3cret" not in error.detail


def test_helms_last_words_are_kept_without_secrets() -> None:
    words = Output(1, "x\n" * 100_000 + 'Error: values: "password": "s3cret" is no number\n').words
    assert words.endswith('Error: values: "password": "(hidden)" is no number')
    assert len(words) <= 4000
