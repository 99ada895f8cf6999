"""Who the user is: the user's own AWS credentials, from where botocore would take them, in its order.

1. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN if there is one.
2. The profile that AWS_DEFAULT_PROFILE or AWS_PROFILE names, else `default`: `role_arn` with
   `source_profile`, any number of them in a row.
3. A web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the same in the profile.
4. The profile's access keys, or its `credential_process`, which is run.
5. The AWS CLI, version 2, for everything else: IAM Identity Center, `aws login`, roles with MFA or
   `credential_source`, containers, instances. Its `configure export-credentials` is what AWS offers to
   programs that lack support of their own.

Tried with a stand-in for the AWS CLI only, so with no genuine login of any kind.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from beta9_provisioning.clouds.aws.profiles import Profiles, read_profiles
from beta9_provisioning.clouds.aws.refusals import USER, AwsError, plain
from beta9_provisioning.clouds.aws.signing import Credentials, credentials_of
from beta9_provisioning.clouds.aws.sts import Sts
from beta9_provisioning.kit.certificates import for_tools

# What CloudTrail shows for the roles on the way.
SESSION_NAME = "beta9-provisioning-token"

_KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_KEY = "aws_access_key_id"
_IDENTITY_CENTER = frozenset({"sso_account_id", "sso_role_name"})
_CLI_ROLE = frozenset({"mfa_serial", "credential_source"})


def own_credentials(sts: Sts) -> Credentials:
    """Return the user's own credentials; `sts` is asked for the roles of profiles and web identities.

    Raises:
        AwsError: `credentials_missing`; `credentials_invalid` when they cannot be any; `aws_failed` when a
            configuration file is broken; and what `sts` raises.
    """
    keys = [os.environ.get(name) for name in _KEY_VARIABLES]
    if keys[0]:
        return _usable(*keys)
    chosen = os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE")
    profiles = read_profiles()
    if chosen and chosen not in profiles:
        raise USER.no_credentials(f"There is no profile {chosen}.")
    return _of_profile(chosen or "default", profiles, sts) or _by_cli(chosen)


def _of_profile(name: str, profiles: Profiles, sts: Sts, before: tuple[str, ...] = ()) -> Credentials | None:
    """Return a profile's credentials, or None if it has none. `before` are the profiles that led to it."""
    profile = profiles.get(name, {})
    has_role = "role_arn" in profile and "web_identity_token_file" not in profile
    # A profile may take the role with keys of its own; then it is its own source.
    if has_role and not (before and _KEY in profile):
        return _of_role(name, profiles, sts, before)
    identity = profile if before else {**profile, **_web_identity_of_environment()}
    if identity.get("web_identity_token_file"):
        return _of_web_identity(identity, sts)
    if _IDENTITY_CENTER & profile.keys() or ("login_session" in profile and _KEY not in profile):
        return _by_cli(name)
    if _KEY in profile:
        return _usable(profile[_KEY], profile.get("aws_secret_access_key"), profile.get("aws_session_token"))
    command = profile.get("credential_process")
    return _by_process(command, f"The credential_process of profile {name} gave none") if command else None


def _of_role(name: str, profiles: Profiles, sts: Sts, before: tuple[str, ...]) -> Credentials:
    profile = profiles[name]
    source = profile.get("source_profile")
    if source is None or _CLI_ROLE & profile.keys():
        return _by_cli(name)
    if name in before:
        raise USER.no_credentials(f"Profiles name each other in a circle: {', '.join((*before, name))}.")
    own = _of_profile(source, profiles, sts, (*before, name))
    if own is None:
        raise USER.no_credentials(f"Profile {source}, which profile {name} names, has none.")
    return sts.assume_role(
        own,
        profile["role_arn"],
        external_id=profile.get("external_id"),
        session_name=profile.get("role_session_name", SESSION_NAME),
    )


def _web_identity_of_environment() -> dict[str, str]:
    names = ("web_identity_token_file", "role_arn", "role_session_name")
    return {name: value for name in names if (value := os.environ.get(f"AWS_{name.upper()}"))}


def _of_web_identity(settings: Mapping[str, str], sts: Sts) -> Credentials:
    path = Path(settings["web_identity_token_file"])
    if "role_arn" not in settings:
        raise USER.no_credentials(f"There is no AWS_ROLE_ARN for the web identity in {path}.")
    try:
        token = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise USER.no_credentials(f"The web identity in {path} could not be read.") from error
    session_name = settings.get("role_session_name", SESSION_NAME)
    return sts.assume_role_with_web_identity(token, settings["role_arn"], session_name=session_name)


def _by_cli(profile: str | None) -> Credentials:
    """Ask the user's AWS CLI, which logs in, renews and caches as AWS means it.

    Source: "export-credentials" in the AWS CLI command reference; it is a `credential_process` by its output.
    """
    if shutil.which("aws") is None:
        raise USER.no_credentials(
            f"Neither the environment nor the profile {profile or 'default'} holds access keys, and the AWS "
            "CLI, which could look further, is not on PATH."
        )
    choice = ["--profile", profile] if profile else []
    command = ["aws", "configure", "export-credentials", *choice, "--format", "process"]
    return _by_process(shlex.join(command), "The AWS CLI gave none")


def _by_process(command: str, failure: str) -> Credentials:
    """Run a command that prints credentials; no shell reads it.

    Source: "Process credential provider" in the AWS SDKs and Tools reference guide.
    """
    try:
        done = subprocess.run(
            shlex.split(command),
            env=for_tools(os.environ),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
        found = json.loads(done.stdout)
        return _usable(found["AccessKeyId"], found["SecretAccessKey"], found.get("SessionToken"))
    except subprocess.CalledProcessError as error:
        detail = plain(error.stderr) or f"it ended with code {error.returncode}."
    except OSError as error:
        detail = f"it could not be started ({error.strerror})."
    except (ValueError, TypeError, LookupError, AttributeError):
        detail = "it did not print credentials."
    # Outside of the handlers: what was printed must not be a part of the error.
    raise USER.no_credentials(f"{failure}: {detail}")


def _usable(access_key: object, secret_key: object, session_token: object) -> Credentials:
    credentials = credentials_of(access_key, secret_key, session_token)
    if credentials is None:
        raise AwsError(
            "Your AWS credentials cannot be right.",
            detail="One is missing, or holds spaces, line breaks or other characters that AWS does not use.",
            remedy="Check the environment variables or the profile that they come from.",
            code="credentials_invalid",
        )
    return credentials
