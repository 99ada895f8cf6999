"""The profiles of AWS's configuration files, read as botocore reads them.

Format: "Shared config and credentials files" in the AWS SDKs and Tools reference guide.
"""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from beta9_provisioning.clouds.aws.refusals import AwsError

Profiles = Mapping[str, Mapping[str, str]]


def read_profiles() -> Profiles:
    """Return the settings of all profiles by name; the credentials file wins over the config file.

    Raises:
        AwsError: `aws_failed`; a file is not of this format.
    """
    profiles: dict[str, dict[str, str]] = {}
    for section, settings in _sections("AWS_CONFIG_FILE", "~/.aws/config").items():
        name = _profile(section)
        if name is not None:
            profiles[name] = settings
            # Ways that win over keys, unless these are in the credentials file.
            if {"credential_process", "login_session"} & settings.keys():
                settings.pop("aws_access_key_id", None)
    for name, settings in _sections("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials").items():
        profiles.setdefault(name, {}).update(settings)
    return profiles


def _profile(section: str) -> str | None:
    """Return the name of a profile, which a config file calls `[profile NAME]`; it has other sections too."""
    try:
        words = shlex.split(section)
    except ValueError:
        return None
    if len(words) == 2 and words[0] == "profile":
        return words[1]
    return "default" if section == "default" else None


def _sections(variable: str, usual: str) -> dict[str, dict[str, str]]:
    path = Path(os.path.expanduser(os.environ.get(variable) or usual))  # noqa: PTH111  Path's fails without a home
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        # Without the cause, which quotes the line: it may hold a secret.
        raise AwsError(f"{path} is not a configuration file of AWS.", remedy="Correct it.") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}
