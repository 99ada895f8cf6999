"""The Terraform stack of an environment in AWS: provider, parts, outputs."""

from constructs import Construct

from beta9_provisioning.clouds.aws.names import names as names_of
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.aws.sizes import zones
from beta9_provisioning.clouds.aws.stack.backend import State
from beta9_provisioning.clouds.aws.stack.bare import provider_arguments
from beta9_provisioning.clouds.aws.stack.data import add_bucket, add_database, add_redis
from beta9_provisioning.clouds.aws.stack.eks import add_cluster
from beta9_provisioning.clouds.aws.stack.network import add_network
from beta9_provisioning.engine.spec import tags
from beta9_provisioning.engine.synthesis.bindings import Output, Provider, Stack
from beta9_provisioning.engine.synthesis.blocks import Ref
from beta9_provisioning.engine.synthesis.providers import load_schema
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.schemas.configuration import EnvironmentConfig


def aws_stack(
    scope: Construct, id_: str, config: EnvironmentConfig, environment_id: str, backend: Backend
) -> Stack:
    """Return the stack of an environment."""
    stack = Stack(scope, id_, load_schema(SCHEMA_FILE))
    names = names_of(environment_id)
    cloud = config.cloud
    Provider(
        stack,
        **provider_arguments(cloud, environment_id),
        default_tags=[{"tags": tags(config, environment_id)}],
    )
    network = add_network(stack, names, zones(cloud.region))
    cluster = add_cluster(stack, names, config, network)
    database = add_database(stack, names, config.data.postgres, network, cluster)
    redis = add_redis(stack, names, config.data.redis, network, cluster)
    bucket = add_bucket(stack, names, config.data.object_store)
    outputs: dict[str, str | Ref] = {
        "region": cloud.region,
        "vpc_id": network.vpc_id,
        "cluster_name": cluster.name,
        "cluster_endpoint": cluster.endpoint,
        "cluster_version": cluster.version,
        "database_host": database.host,
        "database_port": database.port,
        "database_name": database.name,
        "database_username": database.username,
        "database_secret_arn": database.secret_arn,
        "redis_host": redis.host,
        "redis_port": redis.port,
        "bucket_name": bucket,
    }
    for name, value in outputs.items():
        Output(stack, name, value)
    State(stack, **backend.arguments)
    return stack
