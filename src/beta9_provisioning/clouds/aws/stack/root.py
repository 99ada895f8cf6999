"""The Terraform stack of an environment in AWS: provider, parts, outputs."""

from constructs import Construct

from beta9_provisioning.clouds.aws.api_networks import api_networks
from beta9_provisioning.clouds.aws.choices import Choices
from beta9_provisioning.clouds.aws.names import names as names_of
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.aws.stack.backend import State
from beta9_provisioning.clouds.aws.stack.bare import provider_arguments
from beta9_provisioning.clouds.aws.stack.bucket import add_bucket
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.eks import add_cluster
from beta9_provisioning.clouds.aws.stack.elasticache import add_redis
from beta9_provisioning.clouds.aws.stack.iam import Iam
from beta9_provisioning.clouds.aws.stack.network import add_network
from beta9_provisioning.clouds.aws.stack.rds import add_database
from beta9_provisioning.engine.spec import tags
from beta9_provisioning.engine.synthesis.bindings import Output, Provider, Stack
from beta9_provisioning.engine.synthesis.blocks import Ref
from beta9_provisioning.engine.synthesis.providers import load_schema
from beta9_provisioning.engine.synthesis.subject import Subject


def aws_stack(scope: Construct, id_: str, subject: Subject) -> Stack:
    """Return the stack of an environment."""
    stack = Stack(scope, id_, load_schema(SCHEMA_FILE))
    config = subject.config
    cloud = config.cloud
    Provider(
        stack,
        **provider_arguments(cloud, subject.environment_id),
        default_tags=[{"tags": tags(config, subject.environment_id)}],
    )
    choices = Choices.model_validate(subject.choices)
    draft = Draft(
        stack,
        names_of(subject.environment_id),
        config,
        choices,
        subject.environment_id,
        api_networks(config, subject.workers_from) if choices.cluster is None else (),
    )
    iam = Iam(draft)
    network = add_network(draft, iam)
    cluster = add_cluster(draft, iam, network)
    database = add_database(draft, iam, network, cluster)
    redis = add_redis(draft, network, cluster)
    bucket = add_bucket(draft)
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
    if redis.username is not None:
        outputs["redis_username"] = redis.username
    for name, value in outputs.items():
        Output(stack, name, value)
    State(stack, **subject.backend.arguments)
    return stack
