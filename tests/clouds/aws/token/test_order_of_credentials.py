"""The order of the user's credentials is botocore's, whichever two ways to be somebody meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import BotoCoreError

from beta9_provisioning.clouds.aws.own_credentials import own_credentials
from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.sts import Sts

ROLE = "role_arn = arn:aws:iam::123456789012:role/R\n"
# Every way to be somebody, with whom botocore calls it (METHOD) and the access key that it leads to here.
WAYS = {
    "environment": ("env", "AKIAENV"),
    "role": ("assume-role", "ASIAROLE"),
    "web identity": ("assume-role-with-web-identity", "ASIAWEB"),
    "web identity of the environment": ("assume-role-with-web-identity", "ASIAWEB"),
    "Identity Center": ("sso", "ASIACLI"),
    "keys in credentials": ("shared-credentials-file", "AKIASHARED"),
    "login": ("login", "ASIACLI"),
    "process": ("custom-process", "ASIAPROCESS"),
    "keys in config": ("config-file", "AKIACONFIG"),
}


def keys(name: str) -> str:
    return f"aws_access_key_id = AKIA{name}\naws_secret_access_key = {name}-secret\n"


class StubSts(Sts):
    """Gives every role at once."""

    def assume_role(self, *_: object, **__: object) -> Credentials:
        return Credentials("ASIAROLE", "s", "t")

    def assume_role_with_web_identity(self, *_: object, **__: object) -> Credentials:
        return Credentials("ASIAWEB", "s", "t")


def botocores_way() -> str | None:
    """The first of botocore's ways that does not pass; it need not succeed."""
    resolver = botocore.session.Session().get_component("credential_provider")
    for provider in resolver.providers:
        # A login is looked up at once, and nobody has logged in.
        with suppress(BotoCoreError):
            if provider.load() is None:
                continue
        return str(provider.METHOD)
    return None


@pytest.mark.parametrize(
    "ways", [pair for count in (0, 1, 2) for pair in itertools.combinations(WAYS, count)], ids=" + ".join
)
def test_the_order_is_botocores(
    ways: tuple[str, ...], home: Path, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def prints(access_key: str) -> str:
        return f"""echo '{{"Version": 1, "AccessKeyId": "{access_key}", "SecretAccessKey": "s"}}'"""

    monkeypatch.setenv("BOTO_CONFIG", str(home / "none"))  # botocore's last resort, which is not here
    (home / "token").write_text("t")
    program("aws", prints("ASIACLI"))
    identity = f"role_arn = arn:aws:iam::1:role/W\nweb_identity_token_file = {home / 'token'}\n"
    config = {
        "role": f"{ROLE}source_profile = source\n",
        "web identity": identity,
        "Identity Center": "sso_session = s\nsso_account_id = 1\nsso_role_name = r\n",
        "login": "login_session = arn:aws:iam::1:user/me\n",
        "process": f"credential_process = {program('giver', prints('ASIAPROCESS'))}\n",
        "keys in config": keys("CONFIG"),
    }
    # Of two settings of one name the profile has the last.
    settings = dict(line.split(" = ") for way in ways for line in config.get(way, "").splitlines())
    section = "".join(f"{name} = {value}\n" for name, value in settings.items())
    session = "[sso-session s]\nsso_start_url = https://example.com\nsso_region = us-east-1\n"
    (home / "config").write_text(f"[default]\n{section}[profile source]\n{keys('SOURCE')}{session}")
    if "keys in credentials" in ways:
        (home / "credentials").write_text(f"[default]\n{keys('SHARED')}")
    if "environment" in ways:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    if "web identity of the environment" in ways:
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/E")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))

    expected = {None: "ASIACLI"} | {method: access_key for method, access_key in WAYS.values()}
    assert own_credentials(StubSts("us-east-1", "")).access_key == expected[botocores_way()]


def test_the_profile_is_botocores(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "credentials").write_text(f"[a]\n{keys('A')}[b]\n{keys('B')}")
    monkeypatch.setenv("AWS_PROFILE", "a")
    monkeypatch.setenv("AWS_DEFAULT_PROFILE", "b")
    theirs = botocore.session.Session().get_credentials()
    assert theirs is not None
    assert own_credentials(StubSts("us-east-1", "")).access_key == theirs.access_key
