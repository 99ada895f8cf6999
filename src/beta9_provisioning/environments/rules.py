"""What a configuration must be beyond its shape: what its cloud demands, what this installation allows."""

from typing import Any

from beta9_provisioning.clouds.registry import CLOUDS, ProviderRules
from beta9_provisioning.environments.errors import ConfigurationRefused
from beta9_provisioning.kit.refused import Fault
from beta9_provisioning.schemas.configuration import EnvironmentConfig


def read(document: dict[str, Any]) -> EnvironmentConfig:
    """Return the configuration that a user sent, checked by its cloud's rules as well.

    Raises:
        ValidationError: with every fault that was found.
    """
    return EnvironmentConfig.model_validate(document, context=ProviderRules())


def check(config: EnvironmentConfig, allowed_regions: tuple[str, ...]) -> None:
    """Check a configuration against this installation.

    Raises:
        ConfigurationRefused: with every fault that was found.
    """
    faults = [*_unavailable(config)]
    if config.cloud.provider in CLOUDS and config.cloud.region not in allowed_regions:
        faults.append(
            Fault("cloud.region", f"{config.cloud.region} is not allowed by ALLOWED_REGIONS", allowed_regions)
        )
    if faults:
        raise ConfigurationRefused(*faults)


def _unavailable(config: EnvironmentConfig) -> list[Fault]:
    """Return what the configuration may say one day, but this version cannot do."""
    faults = []
    if config.cloud.provider not in CLOUDS:
        faults.append(
            Fault("cloud.provider", f"{config.cloud.provider} is not available yet", tuple(map(str, CLOUDS)))
        )
    if config.cluster.api.private_only:
        reason = "is not available yet: no route of this service into the network can be declared"
        faults.append(Fault("cluster.api.private_only", reason, ("false",)))
    if config.beta9.workers.gpu_enabled:
        faults.append(Fault("beta9.workers.gpu_enabled", "GPU workers are not available yet", ("false",)))
    return faults
