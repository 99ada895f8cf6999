"""The data stores: PostgreSQL on RDS, Valkey on ElastiCache, and an S3 bucket."""

from dataclasses import dataclass

from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.eks import Cluster
from beta9_provisioning.clouds.aws.stack.network import Network
from beta9_provisioning.engine.synthesis.bindings import Resource, Stack
from beta9_provisioning.engine.synthesis.blocks import Ref, one

POSTGRES_PORT = 5432
REDIS_PORT = 6379
DATABASE = "beta9"
DATABASE_USER = "beta9"
# Beta9's gateway listens for keyspace events, which are off by default; what its file system keeps in Redis
# must not be evicted.
_REDIS_PARAMETERS = {"maxmemory-policy": "noeviction", "notify-keyspace-events": "AKE"}


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL is reached; the master user's password is in the secret, and RDS rotates it."""

    host: Ref
    port: Ref
    name: Ref
    username: Ref
    secret_arn: Ref


@dataclass(frozen=True)
class RedisEndpoint:
    """Where Valkey is reached, over TLS."""

    host: Ref
    port: Ref


def add_database(draft: Draft, network: Network, cluster: Cluster) -> Database:
    """Add PostgreSQL to the stack, reachable from the cluster only."""
    stack, names = draft.stack, draft.names
    config, choice = draft.config.data.postgres, draft.choices.postgres
    subnets = Resource(
        stack,
        "aws_db_subnet_group",
        "main",
        name=names.database,
        description="Private subnets of the environment",
        subnet_ids=network.private_subnet_ids,
    )
    group = _security_group(stack, "database", names.database, network, cluster, port=POSTGRES_PORT)
    instance = Resource(
        stack,
        "aws_db_instance",
        "main",
        identifier=names.database,
        engine="postgres",
        engine_version=choice.version,
        instance_class=choice.instance_class,
        allocated_storage=config.storage_gb,
        storage_type="gp3",
        storage_encrypted=True,
        db_name=DATABASE,
        username=DATABASE_USER,
        manage_master_user_password=True,
        port=POSTGRES_PORT,
        db_subnet_group_name=subnets.ref("name"),
        vpc_security_group_ids=[group.ref("id")],
        publicly_accessible=False,
        multi_az=config.multi_az,
        backup_retention_period=config.backup_retention_days,
        copy_tags_to_snapshot=True,
        apply_immediately=True,
        # Whether an environment may be deleted is decided before Terraform runs; then nothing of it stays.
        deletion_protection=False,
        skip_final_snapshot=True,
        delete_automated_backups=True,
    )
    return Database(
        host=instance.ref("address"),
        port=instance.ref("port"),
        name=instance.ref("db_name"),
        username=instance.ref("username"),
        secret_arn=one(instance.ref("master_user_secret[*].secret_arn")),
    )


def add_redis(draft: Draft, network: Network, cluster: Cluster) -> RedisEndpoint:
    """Add Valkey to the stack, reachable from the cluster only."""
    stack, names = draft.stack, draft.names
    config, choice = draft.config.data.redis, draft.choices.redis
    subnets = Resource(
        stack,
        "aws_elasticache_subnet_group",
        "main",
        name=names.redis,
        description="Private subnets of the environment",
        subnet_ids=network.private_subnet_ids,
    )
    parameters = Resource(
        stack,
        "aws_elasticache_parameter_group",
        "main",
        name=names.redis,
        family=choice.family,
        description="Beta9",
        parameter=[{"name": name, "value": value} for name, value in _REDIS_PARAMETERS.items()],
    )
    group = _security_group(stack, "redis", names.redis, network, cluster, port=REDIS_PORT)
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
        security_group_ids=[group.ref("id")],
        port=REDIS_PORT,
        # The provider's schema spells this one as a string.
        at_rest_encryption_enabled="true",
        transit_encryption_enabled=True,
        apply_immediately=True,
    )
    return RedisEndpoint(
        host=replication_group.ref("primary_endpoint_address"), port=replication_group.ref("port")
    )


def add_bucket(draft: Draft) -> Ref:
    """Add the bucket to the stack, closed to the public; return its name."""
    stack, names, config = draft.stack, draft.names, draft.config.data.object_store
    bucket = Resource(
        stack, "aws_s3_bucket", "main", bucket=names.bucket(config.bucket_prefix), force_destroy=True
    )
    name = bucket.ref("id")
    Resource(
        stack,
        "aws_s3_bucket_public_access_block",
        "main",
        bucket=name,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    Resource(
        stack,
        "aws_s3_bucket_server_side_encryption_configuration",
        "main",
        bucket=name,
        rule=[{"apply_server_side_encryption_by_default": [{"sse_algorithm": "AES256"}]}],
    )
    versioning = _versioning(stack, name) if config.versioning else []
    if config.lifecycle_days is not None:
        _lifecycle(stack, name, config.lifecycle_days, versioning)
    return name


def _versioning(stack: Stack, bucket: Ref) -> list[Resource]:
    versioning = Resource(
        stack,
        "aws_s3_bucket_versioning",
        "main",
        bucket=bucket,
        versioning_configuration=[{"status": "Enabled"}],
    )
    return [versioning]


def _lifecycle(stack: Stack, bucket: Ref, days: int, versioning: list[Resource]) -> None:
    Resource(
        stack,
        "aws_s3_bucket_lifecycle_configuration",
        "main",
        bucket=bucket,
        rule=[
            {
                "id": "expire-old-versions",
                "status": "Enabled",
                "filter": [{"prefix": ""}],
                "noncurrent_version_expiration": [{"noncurrent_days": days}],
                "abort_incomplete_multipart_upload": [{"days_after_initiation": days}],
            }
        ],
        depends_on=versioning,
    )


def _security_group(
    stack: Stack, key: str, name: str, network: Network, cluster: Cluster, *, port: int
) -> Resource:
    """Add a security group that lets the cluster's nodes and pods in on one port, and nothing out."""
    group = Resource(
        stack,
        "aws_security_group",
        key,
        name=name,
        description=f"{key} of the environment",
        vpc_id=network.vpc_id,
        tags={"Name": name},
    )
    Resource(
        stack,
        "aws_vpc_security_group_ingress_rule",
        key,
        security_group_id=group.ref("id"),
        description="From the cluster",
        referenced_security_group_id=cluster.security_group_id,
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
    )
    return group
