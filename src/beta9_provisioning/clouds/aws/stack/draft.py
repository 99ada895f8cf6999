"""A stack in the making: what every part of it is given."""

from dataclasses import dataclass

from beta9_provisioning.clouds.aws.choices import Choices, KubernetesChoice
from beta9_provisioning.clouds.aws.names import Names
from beta9_provisioning.engine.synthesis.bindings import Stack
from beta9_provisioning.schemas.configuration import EnvironmentConfig


@dataclass(frozen=True)
class Draft:
    """The stack to which resources are added, and of what they are made.

    Attributes:
        api_from: networks from which the Kubernetes API can be reached.
    """

    stack: Stack
    names: Names
    config: EnvironmentConfig
    choices: Choices
    environment_id: str
    api_from: tuple[str, ...]

    @property
    def kubernetes(self) -> KubernetesChoice:
        """What was chosen for the control plane, which is made."""
        chosen = self.choices.kubernetes
        assert chosen is not None, "asked for a cluster that is made only"
        return chosen
