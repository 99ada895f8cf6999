"""What releases up to 0.2 had as constants, where later ones keep choices. None of this may ever change."""

from beta9_provisioning.clouds.aws.choices import (
    Choices,
    KubernetesChoice,
    NetworkChoice,
    NodesChoice,
    PostgresChoice,
    RedisChoice,
    Zone,
)
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Nat, Size

_ZONE_LETTERS = {"ap-northeast-1": "ac"}
_NODES = {
    Size.SMALL: ("t3.large", 50, (2, 2, 4)),
    Size.MEDIUM: ("m6i.xlarge", 100, (3, 3, 10)),
    Size.LARGE: ("m6i.2xlarge", 200, (3, 3, 20)),
}
_POSTGRES = {Size.SMALL: "db.t4g.medium", Size.MEDIUM: "db.m6g.large", Size.LARGE: "db.m6g.2xlarge"}
_REDIS = {Size.SMALL: "cache.t4g.small", Size.MEDIUM: "cache.m6g.large", Size.LARGE: "cache.r6g.large"}


def choices(config: EnvironmentConfig) -> Choices:
    """Return the choices with which such a release built an environment."""
    region = config.cloud.region
    instance_type, disk_gib, (minimum, desired, maximum) = _NODES[config.cluster.profile]
    return Choices(
        zones=tuple(Zone(name=region + letter) for letter in _ZONE_LETTERS.get(region, "ab")),
        network=NetworkChoice(
            cidr="10.0.0.0/16",
            service_cidr=None,
            public=("10.0.0.0/20", "10.0.16.0/20"),
            private=("10.0.64.0/18", "10.0.128.0/18"),
            nat=Nat.SINGLE,
        ),
        kubernetes=KubernetesChoice(version="1.34"),
        nodes=NodesChoice(
            generation=0,
            instance_type=instance_type,
            disk_gib=disk_gib,
            minimum=minimum,
            desired=desired,
            maximum=maximum,
        ),
        postgres=PostgresChoice(version="17", instance_class=_POSTGRES[config.data.postgres.size]),
        redis=RedisChoice(version="7.2", family="valkey7", node_type=_REDIS[config.data.redis.size]),
    )
