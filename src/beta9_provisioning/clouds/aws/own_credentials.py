"""Who the user is: the user's own AWS credentials, from where AWS's tools look for them.

1. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN if there is one.
2. The profile that AWS_PROFILE (or AWS_DEFAULT_PROFILE) names, else `default`:
   - access keys, or a `credential_process`, which is run;
   - `role_arn` with `source_profile`, any number of them in a row: STS is asked as for the cluster's role;
   - IAM Identity Center (`sso_*`), `login_session`, and roles with `mfa_serial`, `credential_source` or
     `web_identity_token_file`: by the AWS CLI, version 2, which must be on PATH.
3. If the profile has none of these, and only then, the default chain of the AWS Common Runtime (`awscrt`): a
   web identity by AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, a container's credentials, an instance's
   metadata. Its requests use neither proxies nor AWS_CA_BUNDLE.

Why not that chain for everything: awscrt 0.38.1 knows nothing of Identity Center (aws-c-auth issue 228),
passes over a profile that gives nothing and takes the machine's own identity instead, and ends the whole
process (SIGABRT) when STS cannot be reached for a role of a profile. The AWS CLI's `configure
export-credentials` is what AWS offers to programs that lack support of their own.

Tried: all of it against local servers; of the AWS CLI only a stand-in, so no genuine login of any kind.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess

from beta9_provisioning.clouds.aws import refusals
from beta9_provisioning.clouds.aws.profiles import Profiles, read_profiles
from beta9_provisioning.clouds.aws.signing import Credentials, credentials_of
from beta9_provisioning.clouds.aws.sts import Sts

# What CloudTrail shows for the roles on the way.
SESSION_NAME = "beta9-provisioning-token"
# Seconds. Away from EC2 the runtime looks for its metadata for 4 s; a process may ask for an MFA code.
CHAIN_SECONDS = 10
PROCESS_SECONDS = 60

_KEY = "aws_access_key_id"
_CLI_ONLY = frozenset({"sso_session", "sso_start_url", "login_session"})
_CLI_ROLE = frozenset({"mfa_serial", "credential_source", "web_identity_token_file"})


def own_credentials(sts: Sts) -> Credentials:
    """Return the user's own credentials; `sts` is asked for the roles of profiles.

    Raises:
        EngineError: `credentials_missing`; `credentials_invalid` when they cannot be any; `aws_failed` when a
            configuration file is broken; and what `Sts.assume_role` raises.
    """
    environment = (os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY"))
    if all(environment):
        return _usable(*environment, os.environ.get("AWS_SESSION_TOKEN"))
    chosen = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    profiles = read_profiles()
    if chosen and chosen not in profiles:
        raise refusals.no_credentials(f"There is no profile {chosen}, which AWS_PROFILE names.")
    return _of_profile(chosen or "default", profiles, sts) or _of_machine()


def _of_profile(name: str, profiles: Profiles, sts: Sts, before: tuple[str, ...] = ()) -> Credentials | None:
    """Return a profile's credentials, or None if it has none. `before` are the profiles that led to it."""
    profile = profiles.get(name, {})
    # A profile may take the role with keys of its own; then it is its own source.
    if "role_arn" in profile and not (before and _KEY in profile):
        return _of_role(name, profiles, sts, before)
    if _CLI_ONLY & profile.keys():
        return _by_cli(name)
    if _KEY in profile:
        return _usable(profile[_KEY], profile.get("aws_secret_access_key"), profile.get("aws_session_token"))
    command = profile.get("credential_process")
    return _by_process(name, command) if command else None


def _of_role(name: str, profiles: Profiles, sts: Sts, before: tuple[str, ...]) -> Credentials:
    profile = profiles[name]
    source = profile.get("source_profile")
    if source is None or _CLI_ROLE & profile.keys():
        return _by_cli(name)
    if name in before:
        raise refusals.no_credentials(f"Profiles name each other in a circle: {', '.join((*before, name))}.")
    own = _of_profile(source, profiles, sts, (*before, name))
    if own is None:
        raise refusals.no_credentials(f"Profile {source}, which profile {name} names, has no credentials.")
    return sts.assume_role(
        own,
        profile["role_arn"],
        external_id=profile.get("external_id"),
        session_name=profile.get("role_session_name", SESSION_NAME),
    )


def _by_cli(profile: str) -> Credentials:
    """Ask the user's AWS CLI, which logs in, renews and caches as AWS means it.

    Source: "export-credentials" in the AWS CLI command reference; it is a `credential_process` by its output.
    """
    program = shutil.which("aws")
    if program is None:
        raise refusals.no_credentials(
            f"Profile {profile} needs the AWS CLI (version 2), which is not on PATH.",
            remedy="Install it, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.",
        )
    return _run(
        [program, "configure", "export-credentials", "--profile", profile, "--format", "process"],
        f"The AWS CLI gave none for profile {profile}",
        f"Log in with it (version 2), for example: aws sso login --profile {profile}",
    )


def _by_process(profile: str, command: str) -> Credentials:
    """Run a profile's credential_process; no shell reads it.

    Source: "Process credential provider" in the AWS SDKs and Tools reference guide.
    """
    failure, remedy = f"The credential_process of profile {profile} gave none", "Run it to see what it says."
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise refusals.no_credentials(f"{failure}: its quotation marks do not match.") from error
    return _run(words, failure, remedy)


def _run(command: list[str], failure: str, remedy: str) -> Credentials:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PROCESS_SECONDS,
            check=True,
        )
        found = json.loads(done.stdout)
        return _usable(found["AccessKeyId"], found["SecretAccessKey"], found.get("SessionToken"))
    except subprocess.CalledProcessError as error:
        detail = refusals.plain(error.stderr) or f"it ended with code {error.returncode}."
    except subprocess.TimeoutExpired:
        detail = f"it did not end within {PROCESS_SECONDS} s."
    except OSError as error:
        detail = f"it could not be started ({error.strerror})."
    except (ValueError, TypeError, LookupError, AttributeError):
        detail = "it did not print credentials."
    # Outside of the handlers: what was printed must not be a part of the error.
    raise refusals.no_credentials(f"{failure}: {detail}", remedy=remedy)


def _of_machine() -> Credentials:
    """Ask awscrt's default chain. What it would find in the environment and in profiles is not there."""
    from awscrt.auth import AwsCredentialsProvider  # noqa: PLC0415  12 MB, not needed to import this module

    try:
        found = AwsCredentialsProvider.new_default_chain().get_credentials().result(CHAIN_SECONDS)
    except Exception as error:  # the runtime raises builtin exceptions as well as its own
        words = refusals.plain(getattr(error, "message", "")) or type(error).__name__
        raise refusals.no_credentials(f"Nor has this machine any: {words}") from error
    return _usable(found.access_key_id, found.secret_access_key, found.session_token)


def _usable(access_key: object, secret_key: object, session_token: object) -> Credentials:
    credentials = credentials_of(access_key, secret_key, session_token)
    if credentials is None:
        raise refusals.impossible_credentials()
    return credentials
