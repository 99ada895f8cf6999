"""The profiles of AWS's configuration files, read only as far as to see what a profile needs.

Format: "Shared config and credentials files" in the AWS SDKs and Tools reference guide. As in botocore, the
credentials file wins over the config file.
"""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from beta9_provisioning.clouds.aws import refusals

Profiles = Mapping[str, Mapping[str, str]]


def read_profiles() -> Profiles:
    """Return all profiles by name; a file that is not there holds none.

    Raises:
        EngineError: `aws_failed`; a file is not of this format.
    """
    config = _file("AWS_CONFIG_FILE", "~/.aws/config")
    credentials = _file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    profiles: dict[str, dict[str, str]] = {}
    for name, settings in (*_config_profiles(config), *_sections(credentials)):
        profiles.setdefault(name, {}).update(settings)
    return profiles


def _config_profiles(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the profiles of a config file, which calls them `[profile NAME]`; it has other sections too."""
    for section, settings in _sections(path):
        try:
            words = shlex.split(section)
        except ValueError:
            continue
        if section == "default" or words == ["profile", "default"]:
            yield "default", settings
        elif len(words) == 2 and words[0] == "profile":
            yield words[1], settings


def _sections(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    # No section is special, nothing is interpolated, and the last of two equal names wins.
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise refusals.unusable(
            f"{path} is not a configuration file of AWS.", "Correct it.", _where(error)
        ) from None  # the cause quotes the line
    for section in parser.sections():
        yield section, dict(parser.items(section))


def _file(variable: str, usual: str) -> Path:
    return Path(os.path.expanduser(os.environ.get(variable) or usual))  # noqa: PTH111  Path's fails without a home


def _where(error: Exception) -> str:
    """Tell the place only: the line may hold a secret."""
    errors = getattr(error, "errors", ())
    line = errors[0][0] if errors else getattr(error, "lineno", None)
    return f"Line {line} is not understood." if line else "It is not text in UTF-8."
