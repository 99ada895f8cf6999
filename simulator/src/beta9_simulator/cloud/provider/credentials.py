"""Finds out on whose behalf the provider acts: its access key, then the roles it is told to assume."""

import configparser
import os
import re
from typing import Any

from beta9_simulator.cloud.principals import Principal, authenticate
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import Store
from beta9_simulator.cloud.sts import DEFAULT_SECONDS, assume_role
from beta9_simulator.cloud.templates import random_text

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_CANNOT_ASSUME = """IAM Role ({role}) cannot be assumed.

There are a number of possible causes of this - the most common are:
  * The credentials used in order to assume the role are invalid
  * The credentials do not have appropriate permission to assume the role
  * The role ARN is not valid

Error: operation error STS: AssumeRole, https response error StatusCode: 403, api error {error}
"""


class ConfigurationError(Exception):
    """The provider cannot be configured; ``summary`` and ``detail`` are shown to the user."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail


def resolve(store: Store, config: dict[str, Any]) -> Principal:
    """Return the principal that a provider configuration works as.

    The access key comes from the configuration, else from the environment, else from the profile `default` of
    AWS_SHARED_CREDENTIALS_FILE, like the genuine provider's. Raises
    ``ConfigurationError`` with the genuine provider's words when a key is unknown, a role may not be
    assumed, or the account is not among those allowed.
    """
    key = config.get("access_key") or os.environ.get("AWS_ACCESS_KEY_ID", "")
    key = key or _key_of_file()
    token = config.get("token") or os.environ.get("AWS_SESSION_TOKEN", "")
    if not key:
        raise ConfigurationError(
            "No valid credential sources found",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Error: failed to refresh cached credentials, "
            "no EC2 IMDS role found",
        )
    try:
        principal = authenticate(store, key, token)
    except CloudError as error:
        raise ConfigurationError(
            "validating provider credentials",
            "retrieving caller identity from STS: operation error STS: GetCallerIdentity, "
            f"https response error StatusCode: 403, api error {error}",
        ) from error
    for role in config.get("assume_role") or []:
        if role and role.get("role_arn"):
            principal = _assume(store, principal, role)
    allowed = config.get("allowed_account_ids")
    if allowed and principal.account not in allowed:
        raise ConfigurationError(
            "AWS account ID not allowed", f"AWS account ID not allowed: {principal.account}"
        )
    return principal


def _key_of_file() -> str:
    profiles = configparser.RawConfigParser()
    try:
        profiles.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", ""))
    except (configparser.Error, UnicodeDecodeError):
        return ""
    return profiles.get("default", "aws_access_key_id", fallback="")


def _assume(store: Store, caller: Principal, role: dict[str, Any]) -> Principal:
    try:
        return assume_role(
            store,
            caller,
            role["role_arn"],
            role.get("session_name") or f"aws-go-sdk-{random_text('digits', 19)}",
            external_id=role.get("external_id"),
            seconds=_duration(role.get("duration")),
        )
    except CloudError as error:
        raise ConfigurationError(
            "Cannot assume IAM Role", _CANNOT_ASSUME.format(role=role["role_arn"], error=error)
        ) from error


def _duration(text: str | None) -> int:
    """Seconds of a Go duration such as ``1h`` or ``30m``; the default session length when there is none."""
    if not text:
        return DEFAULT_SECONDS
    return int(sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text)))
