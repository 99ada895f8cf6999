"""Who the user is: environment, profiles, web identities, the AWS CLI, or nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.fake_sts import FakeSts, gives, refuses

from beta9_provisioning.clouds.aws.own_credentials import own_credentials
from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.sts import Sts
from beta9_provisioning.engine.errors import EngineError

Program = Callable[[str, str], Path]

NOBODY = Sts("us-east-1", "http://127.0.0.1:1")
PRINTED = json.dumps(
    {"Version": 1, "AccessKeyId": "ASIAOUT", "SecretAccessKey": "out-secret", "SessionToken": "out/token+=="}
)
EXPORT = "configure export-credentials{} --format process"
OUT = Credentials("ASIAOUT", "out-secret", "out/token+==")
ROLE = "role_arn = arn:aws:iam::123456789012:role/{}\n"


def keys(name: str) -> str:
    return f"aws_access_key_id = AKIA{name}\naws_secret_access_key = {name}-secret\n"


def failure(sts: Sts = NOBODY) -> EngineError:
    with pytest.raises(EngineError) as caught:
        own_credentials(sts)
    return caught.value


def test_nothing_at_all() -> None:
    error = failure()
    assert error.code == "credentials_missing"
    assert error.message.startswith("You have no AWS credentials")
    assert "AWS CLI, which could look further, is not on PATH" in error.detail
    assert "AWS CLI, version 2" in error.remedy
    assert "AWS_PROFILE" in error.remedy


def test_the_environment_comes_first(keys: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config").write_text("[broken")
    assert own_credentials(NOBODY) == Credentials("AKIAOWN", "own-secret", "own/token+==")
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert own_credentials(NOBODY) == Credentials("AKIAOWN", "own-secret")


@pytest.mark.parametrize("secret", ["", None])
def test_half_an_environment(keys: None, secret: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told rather than passed over: who comes next may be somebody else."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if secret is not None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    assert failure().code == "credentials_invalid"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("value", ["two words", "a line\n", "nön-ascii"])
def test_credentials_that_cannot_be(
    name: str, value: str, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    error = failure()
    assert error.code == "credentials_invalid"
    assert value.strip() not in f"{error.message} {error.detail} {error.remedy}"


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
@pytest.mark.parametrize("file", ["config", "credentials"])
def test_keys_of_a_profile(variable: str, file: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = "profile b" if file == "config" else "b"
    (home / file).write_text(f"[default]\n{keys('A')}\n[{section}]\n{keys('B')}aws_session_token = t\n")
    assert own_credentials(NOBODY) == Credentials("AKIAA", "A-secret")
    monkeypatch.setenv(variable, "b")
    assert own_credentials(NOBODY) == Credentials("AKIAB", "B-secret", "t")


def test_files_at_their_usual_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CONFIG_FILE")
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE")
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(f"[default]\n{keys('A')}")
    assert own_credentials(NOBODY).access_key == "AKIAA"


def test_a_credential_process(home: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    command = program("giver", f"test \"$1 $2\" = 'a b c' && echo '{PRINTED}'")
    (home / "config").write_text(f'[profile "my own"]\ncredential_process = {command} a "b c"\n')
    monkeypatch.setenv("AWS_PROFILE", "my own")
    assert own_credentials(NOBODY) == OUT


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo oops >&2; exit 3", "oops"),
        ("exit 3", "code 3"),
        ("printf '\\033[31moops\\n\\n  again' >&2; exit 3", "none: [31moops again"),
        ("exit 0", "did not print credentials"),
        (f"echo '{PRINTED[:-1]}'", "did not print credentials"),
    ],
)
def test_a_credential_process_that_fails(script: str, words: str, home: Path, program: Program) -> None:
    program("aws", f"echo '{PRINTED}'")  # somebody else is no replacement for whom the user chose
    (home / "config").write_text(f"[default]\ncredential_process = {program('giver', script)}\n")
    error = failure()
    assert error.code == "credentials_missing"
    assert "credential_process of profile default" in error.detail
    assert words in error.detail


@pytest.mark.parametrize(
    ("command", "words"),
    [("/nowhere", "could not be started"), ("giver 'a", "did not print"), ("", "not on PATH")],
)
def test_a_credential_process_that_cannot_be_run(command: str, words: str, home: Path) -> None:
    (home / "config").write_text(f"[default]\ncredential_process = {command}\n")
    error = failure()
    assert error.code == "credentials_missing"
    assert words in error.detail


def test_a_role_of_a_profile(home: Path, fake: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config").write_text(
        f"[profile a]\n{ROLE.format('A')}source_profile = b\nexternal_id = e\nrole_session_name = me\n"
        f"[profile b]\n{ROLE.format('B')}source_profile = c\n"
    )
    (home / "credentials").write_text(f"[c]\n{keys('C')}{ROLE.format('Ignored')}source_profile = x\n")
    fake.will(gives("ASIAB"), gives("ASIAA", "s", "t"))
    monkeypatch.setenv("AWS_PROFILE", "a")
    assert own_credentials(Sts("us-east-1", fake.url)) == Credentials("ASIAA", "s", "t")
    first, second = fake.asked
    assert (first.access_key, second.access_key) == ("AKIAC", "ASIAB")
    assert first.fields["RoleArn"].endswith("role/B")
    assert "ExternalId" not in first.fields
    assert first.fields["RoleSessionName"] == "beta9-provisioning-token"
    assert second.fields["RoleArn"].endswith("role/A")
    assert second.fields["ExternalId"] == "e"
    assert second.fields["RoleSessionName"] == "me"


def test_a_role_with_keys_of_its_own_profile(home: Path, fake: FakeSts) -> None:
    (home / "config").write_text(f"[default]\n{keys('A')}{ROLE.format('A')}source_profile = default\n")
    fake.will(gives("ASIAA"))
    assert own_credentials(Sts("us-east-1", fake.url)).access_key == "ASIAA"
    assert fake.asked[0].access_key == "AKIAA"


def test_a_role_of_a_profile_that_refuses(home: Path, fake: FakeSts) -> None:
    (home / "config").write_text(f"[default]\n{keys('A')}{ROLE.format('A')}source_profile = default\n")
    fake.will(refuses(403, "AccessDenied"))
    error = failure(Sts("us-east-1", fake.url))
    assert error.code == "role_refused"
    assert "role/A" in error.message


def test_a_role_of_a_profile_when_nobody_answers(home: Path) -> None:
    (home / "config").write_text(f"[default]\n{keys('A')}{ROLE.format('A')}source_profile = default\n")
    assert failure().code == "aws_unreachable"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (f"[profile a]\n{ROLE.format('A')}source_profile = b\n", "b, which profile a"),
        (f"[profile a]\n{ROLE.format('A')}source_profile = a\n", "circle: a, a"),
        (
            f"[profile a]\n{ROLE.format('A')}source_profile = b\n[profile b]\nregion = x\n",
            "b, which profile a",
        ),
        ("[profile b]\nregion = x\n", "no profile a"),
        ("[a]\naws_access_key_id = x\n", "no profile a"),
        ("[profile 'a]\naws_access_key_id = x\n", "no profile a"),
    ],
)
def test_profiles_that_lead_nowhere(
    config: str, words: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config").write_text(config)
    monkeypatch.setenv("AWS_PROFILE", "a")
    error = failure()
    assert error.code == "credentials_missing"
    assert words in error.detail


@pytest.mark.parametrize(
    "content", [b"[default]\nMY-SECRET\n", b"MY-SECRET = x\n", b"[default]\nx = MY-SECRET\xff"]
)
def test_a_broken_file(content: bytes, home: Path) -> None:
    (home / "credentials").write_bytes(content)
    error = failure()
    assert error.code == "aws_failed"
    assert error.__cause__ is None
    assert str(home / "credentials") in error.message
    assert "MY-SECRET" not in f"{error.message} {error.detail} {error.remedy}"


@pytest.mark.parametrize("place", ["environment", "profile", "source profile"])
def test_a_web_identity(place: str, home: Path, fake: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "token").write_text("a.b-c.d")
    settings = {
        "web_identity_token_file": str(home / "token"),
        "role_arn": "arn:aws:iam::123456789012:role/W",
        "role_session_name": "me",
    }
    section = "".join(f"{name} = {value}\n" for name, value in settings.items())
    fake.will(gives("ASIAWEB", "s", "t"), gives("ASIAA"))
    expected = "ASIAWEB"
    if place == "environment":
        for name, value in settings.items():
            monkeypatch.setenv(f"AWS_{name.upper()}", value)
    elif place == "profile":
        (home / "config").write_text(f"[default]\n{section}")
    else:
        expected = "ASIAA"
        role = f"{ROLE.format('A')}source_profile = w\n"
        (home / "config").write_text(f"[default]\n{role}[profile w]\n{section}")
    assert own_credentials(Sts("us-east-1", fake.url)).access_key == expected
    asked = fake.asked[0]
    assert asked.fields["WebIdentityToken"] == "a.b-c.d"
    assert asked.fields["RoleArn"].endswith("role/W")
    assert asked.fields["RoleSessionName"] == "me"


@pytest.mark.parametrize(
    ("content", "role", "words"),
    [(None, "r", "could not be read"), (b"\xff", "r", "could not be read"), (b"t", "", "AWS_ROLE_ARN")],
)
def test_a_web_identity_that_is_none(
    content: bytes | None, role: str, words: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (home / "token").write_bytes(content)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", role)
    error = failure()
    assert error.code == "credentials_missing"
    assert words in error.detail
    assert str(home / "token") in error.detail


CLI_PROFILES = {
    "Identity Center": "sso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nx = y\n",
    "Identity Center, older": "sso_start_url = https://example.com\nsso_region = us-east-1\n",
    "login": "login_session = arn:aws:iam::123456789012:user/me\n",
    "MFA": f"{ROLE.format('A')}source_profile = b\nmfa_serial = arn:aws:iam::1:mfa/me\n",
    "credential source": f"{ROLE.format('A')}credential_source = Ec2InstanceMetadata\n",
    "nothing": "region = eu-west-1\n",
}


@pytest.mark.parametrize("settings", CLI_PROFILES.values(), ids=CLI_PROFILES)
def test_the_aws_cli_is_asked(
    settings: str, home: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "a")
    (home / "config").write_text(f"[profile a]\n{settings}")
    error = failure()
    assert error.code == "credentials_missing"
    assert "AWS CLI" in error.detail
    program("aws", f"test \"$*\" = '{EXPORT.format(' --profile a')}' && echo '{PRINTED}'")
    assert own_credentials(NOBODY) == OUT


def test_the_aws_cli_is_asked_without_a_profile_when_none_was_chosen(program: Program) -> None:
    program("aws", f"test \"$*\" = '{EXPORT.format('')}' && echo '{PRINTED}'")
    assert own_credentials(NOBODY) == OUT


def test_the_aws_cli_did_not_hear_whom_to_trust(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads no SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", "/company.pem")
    program("aws", f"test \"$REQUESTS_CA_BUNDLE\" = /company.pem && echo '{PRINTED}'")
    assert own_credentials(NOBODY) == OUT


def test_the_aws_cli_is_asked_for_the_source_of_a_role(home: Path, program: Program, fake: FakeSts) -> None:
    (home / "config").write_text(
        f"[default]\n{ROLE.format('A')}source_profile = b\n[profile b]\n{CLI_PROFILES['Identity Center']}"
    )
    program("aws", f"test \"$4\" = b && echo '{PRINTED}'")
    fake.will(gives("ASIAA"))
    assert own_credentials(Sts("us-east-1", fake.url)).access_key == "ASIAA"
    assert fake.asked[0].access_key == "ASIAOUT"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Token has expired' >&2; exit 255", "Token has expired"),
        ("echo junk", "did not print credentials"),
        ("echo '[]'", "did not print credentials"),
        ('echo \'{"AccessKeyId": "x"}\'', "did not print credentials"),
    ],
)
def test_an_aws_cli_that_fails(script: str, words: str, home: Path, program: Program) -> None:
    (home / "config").write_text(f"[default]\n{CLI_PROFILES['Identity Center']}")
    program("aws", script)
    error = failure()
    assert error.code == "credentials_missing"
    assert words in error.detail
    assert "aws sso login" in error.remedy
