"""A stack in the making: what every part of it is given."""

from dataclasses import dataclass

from beta9_provisioning.clouds.aws.choices import Choices
from beta9_provisioning.clouds.aws.names import Names
from beta9_provisioning.engine.synthesis.bindings import Stack
from beta9_provisioning.schemas.configuration import EnvironmentConfig


@dataclass(frozen=True)
class Draft:
    """The stack to which resources are added, and of what they are made."""

    stack: Stack
    names: Names
    config: EnvironmentConfig
    choices: Choices
