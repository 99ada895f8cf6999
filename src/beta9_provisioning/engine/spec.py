"""What every environment has, whatever its cloud: the tags by which it is recognized, and versions."""

from beta9_provisioning.schemas.configuration import EnvironmentConfig

ENVIRONMENT_ID_TAG = "beta9:environment-id"
ENVIRONMENT_NAME_TAG = "beta9:environment-name"
MANAGED_BY_TAG = "beta9:managed-by"
MANAGED_BY = "beta9-provisioning"
OWNERSHIP_TAGS = (ENVIRONMENT_ID_TAG, ENVIRONMENT_NAME_TAG, MANAGED_BY_TAG)
"""Keys of the tags by which an environment's resources are recognized."""

POSTGRES_VERSION = "18"
"""Of the client that makes the database's user: it talks to this version and all before."""


def tags(config: EnvironmentConfig, environment_id: str) -> dict[str, str]:
    """Return the tags of every taggable resource: the user's, and those that show whose it is."""
    return {
        **config.tags,
        ENVIRONMENT_ID_TAG: environment_id,
        ENVIRONMENT_NAME_TAG: config.name,
        MANAGED_BY_TAG: MANAGED_BY,
    }
