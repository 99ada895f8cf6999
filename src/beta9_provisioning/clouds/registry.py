"""The clouds that this release can build in. Importing it loads no cloud's SDK."""

from collections.abc import Mapping

from beta9_provisioning.clouds.aws.cloud import Aws
from beta9_provisioning.clouds.cloud import Cloud
from beta9_provisioning.engine.errors import NotSupported
from beta9_provisioning.schemas.configuration import Cloud as CloudSection
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Path, Provider

CLOUDS: Mapping[Provider, Cloud] = {Provider.AWS: Aws()}


def cloud_of(place: CloudSection) -> Cloud:
    """Return the cloud of an environment.

    Raises:
        NotSupported: this release cannot build in it.
    """
    provider = place.provider
    if provider not in CLOUDS:
        names = " or ".join(CLOUDS)
        raise NotSupported(
            f"cloud.provider {provider} is not supported yet.",
            detail=f"Environments can be created in {names.upper()} only.",
            remedy=f"Set cloud.provider to {names}.",
        )
    return CLOUDS[provider]


class ProviderRules:
    """The clouds' rules for a configuration, as `schemas.configuration` asks for them."""

    def field_fault(self, name: str, value: str) -> str | None:
        """Return what is wrong with a field that belongs to one provider, whichever the configuration has."""
        faults = (cloud.field_fault(name, value) for cloud in CLOUDS.values())
        return next((fault for fault in faults if fault is not None), None)

    def section_faults(self, section: CloudSection) -> Mapping[str, str]:
        """Return what the configuration's provider finds wrong, by field."""
        cloud = CLOUDS.get(section.provider)
        return cloud.section_faults(section) if cloud is not None else {}

    def other_faults(self, config: EnvironmentConfig) -> Mapping[Path, str]:
        """Return what the configuration's provider would refuse outside of `cloud`, by path."""
        cloud = CLOUDS.get(config.cloud.provider)
        return cloud.other_faults(config) if cloud is not None else {}


def child_variables() -> list[str]:
    """Return the names of the environment variables that Terraform gets for any cloud."""
    return [name for cloud in CLOUDS.values() for name in cloud.child_variables]


def preload() -> None:
    """Load now what the first operations of this process would load otherwise."""
    for cloud in CLOUDS.values():
        cloud.preload()
