"""Valkey on ElastiCache."""

from dataclasses import dataclass

from beta9_provisioning.clouds.aws.names import REDIS_PASSWORD, REDIS_USER
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.eks import Cluster
from beta9_provisioning.clouds.aws.stack.network import Network
from beta9_provisioning.clouds.aws.stack.store_network import add_store_group
from beta9_provisioning.engine.synthesis.bindings import Lifecycle, Resource, Variable
from beta9_provisioning.engine.synthesis.blocks import Ref

REDIS_PORT = 6379
# Beta9's gateway listens for keyspace events, which are off by default; what its file system keeps in Redis
# must not be evicted.
_PARAMETERS = {"maxmemory-policy": "noeviction", "notify-keyspace-events": "AKE"}
_SNAPSHOT_WINDOW, _MAINTENANCE_WINDOW = "03:00-04:00", "sun:04:30-sun:05:30"


@dataclass(frozen=True)
class RedisEndpoint:
    """Where Valkey is reached, over TLS, and the user that Beta9 is; None where anybody may use it."""

    host: Ref
    port: Ref
    username: str | None


def add_redis(draft: Draft, network: Network, cluster: Cluster) -> RedisEndpoint:
    """Add Valkey to the stack, reachable from the cluster only."""
    stack, names = draft.stack, draft.names
    config, choice = draft.config.data.redis, draft.choices.redis
    subnets = Resource(
        stack,
        "aws_elasticache_subnet_group",
        "main",
        name=names.redis,
        description="Subnets of the environment's stores",
        subnet_ids=network.store_subnet_ids,
    )
    parameters = Resource(
        stack,
        "aws_elasticache_parameter_group",
        "main",
        name=names.redis_parameters(choice.generation),
        family=choice.family,
        description="Beta9",
        parameter=[{"name": name, "value": value} for name, value in _PARAMETERS.items()],
        lifecycle=Lifecycle(create_before_destroy=True),
    )
    replication_group = Resource(
        stack,
        "aws_elasticache_replication_group",
        "main",
        replication_group_id=names.redis,
        description="Redis of Beta9",
        engine="valkey",
        engine_version=choice.version,
        node_type=choice.node_type,
        num_cache_clusters=1 + (config.num_replicas if config.ha else 0),
        cluster_mode="disabled",
        automatic_failover_enabled=config.ha,
        multi_az_enabled=config.ha,
        parameter_group_name=parameters.ref("name"),
        subnet_group_name=subnets.ref("name"),
        security_group_ids=[add_store_group(stack, "redis", names.redis, network, cluster, port=REDIS_PORT)],
        port=REDIS_PORT,
        # The provider's schema spells these two as strings.
        at_rest_encryption_enabled="true",
        auto_minor_version_upgrade="true",
        kms_key_id=draft.config.cloud.kms_key_arn,
        transit_encryption_enabled=True,
        # ElastiCache takes a group of users or a token, not both.
        user_group_ids=[_users(draft)] if choice.has_user else None,
        snapshot_retention_limit=config.snapshot_days,
        snapshot_window=_SNAPSHOT_WINDOW,
        maintenance_window=_MAINTENANCE_WINDOW,
        apply_immediately=True,
    )
    return RedisEndpoint(
        host=replication_group.ref("primary_endpoint_address"),
        port=replication_group.ref("port"),
        username=REDIS_USER if choice.has_user else None,
    )


def _users(draft: Draft) -> Ref:
    """Add the user that Beta9 is, and a group that has closed the one whom nobody has to name.

    A group for Valkey takes only users who have a password:
    https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html
    """
    password = Variable(draft.stack, REDIS_PASSWORD).ref
    users = [
        Resource(
            draft.stack,
            "aws_elasticache_user",
            key,
            user_id=f"{draft.names.redis}{suffix}",
            user_name=name,
            engine="valkey",
            access_string=access,
            passwords_wo=password,
            passwords_wo_version=1,
        )
        for key, suffix, name, access in (
            ("main", "", REDIS_USER, "on ~* &* +@all"),
            ("default", "-default", "default", "off ~* &* -@all"),
        )
    ]
    group = Resource(
        draft.stack,
        "aws_elasticache_user_group",
        "main",
        user_group_id=draft.names.redis,
        engine="valkey",
        user_ids=[user.ref("user_id") for user in users],
    )
    return group.ref("user_group_id")
