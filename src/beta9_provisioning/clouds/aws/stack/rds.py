"""PostgreSQL on RDS."""

from dataclasses import dataclass

from beta9_provisioning.clouds.aws import storage
from beta9_provisioning.clouds.aws.names import DATABASE_LOGS
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.eks import Cluster
from beta9_provisioning.clouds.aws.stack.iam import Iam
from beta9_provisioning.clouds.aws.stack.network import Network, log_group
from beta9_provisioning.clouds.aws.stack.store_network import add_store_group
from beta9_provisioning.engine.synthesis.bindings import Lifecycle, Resource
from beta9_provisioning.engine.synthesis.blocks import Ref, one

POSTGRES_PORT = 5432
DATABASE = "beta9"
DATABASE_USER = "beta9"
LOG_DAYS = 30
# Statements are not logged, for those that make users hold passwords in plain text; slow ones are.
_PARAMETERS = {"log_min_duration_statement": "5000", "log_statement": "none", "rds.force_ssl": "1"}
_BACKUP_WINDOW, _MAINTENANCE_WINDOW = "03:00-04:00", "sun:04:30-sun:05:30"
_CERTIFICATE_AUTHORITY = "rds-ca-rsa2048-g1"
_MONITORING_SECONDS = 60
# Of all that AWS keeps these are free.
_INSIGHTS_DAYS = 7


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL is reached; the master user's password is in the secret, and RDS rotates it."""

    host: Ref
    port: Ref
    name: Ref
    username: Ref
    secret_arn: Ref


def add_database(draft: Draft, iam: Iam, network: Network, cluster: Cluster) -> Database:
    """Add PostgreSQL to the stack, reachable from the cluster only."""
    stack, names = draft.stack, draft.names
    config, choice, key = draft.config.data.postgres, draft.choices.postgres, draft.config.cloud.kms_key_arn
    subnets = Resource(
        stack,
        "aws_db_subnet_group",
        "main",
        name=names.database,
        description="Subnets of the environment's stores",
        subnet_ids=network.store_subnet_ids,
    )
    role = iam.role("monitoring", names.monitoring_role, service="monitoring.rds")
    attached = iam.attach("monitoring", role, ["service-role/AmazonRDSEnhancedMonitoringRole"])
    iops, throughput = storage.performance(config.storage_gb)
    instance = Resource(
        stack,
        "aws_db_instance",
        "main",
        identifier=names.database,
        engine="postgres",
        engine_version=choice.version,
        auto_minor_version_upgrade=True,
        instance_class=choice.instance_class,
        allocated_storage=config.storage_gb,
        max_allocated_storage=storage.maximum(config),
        storage_type="gp3",
        iops=iops,
        storage_throughput=throughput,
        storage_encrypted=True,
        kms_key_id=key,
        db_name=DATABASE,
        username=DATABASE_USER,
        manage_master_user_password=True,
        master_user_secret_kms_key_id=key,
        iam_database_authentication_enabled=True,
        ca_cert_identifier=_CERTIFICATE_AUTHORITY,
        parameter_group_name=_parameters(draft).ref("name"),
        port=POSTGRES_PORT,
        db_subnet_group_name=subnets.ref("name"),
        vpc_security_group_ids=[
            add_store_group(stack, "database", names.database, network, cluster, port=POSTGRES_PORT)
        ],
        publicly_accessible=False,
        multi_az=config.multi_az,
        backup_retention_period=config.backup_retention_days,
        backup_window=_BACKUP_WINDOW,
        maintenance_window=_MAINTENANCE_WINDOW,
        copy_tags_to_snapshot=True,
        enabled_cloudwatch_logs_exports=list(DATABASE_LOGS),
        monitoring_interval=_MONITORING_SECONDS,
        monitoring_role_arn=role.ref("arn"),
        performance_insights_enabled=True,
        performance_insights_retention_period=_INSIGHTS_DAYS,
        performance_insights_kms_key_id=key,
        apply_immediately=True,
        # Lifted, and the last snapshot taken, by a destroy's own calls: `clouds.aws.protection`.
        deletion_protection=True,
        skip_final_snapshot=True,
        delete_automated_backups=True,
        depends_on=[*attached, *_log_groups(draft)],
    )
    return Database(
        host=instance.ref("address"),
        port=instance.ref("port"),
        name=instance.ref("db_name"),
        username=instance.ref("username"),
        secret_arn=one(instance.ref("master_user_secret[*].secret_arn")),
    )


def _parameters(draft: Draft) -> Resource:
    choice = draft.choices.postgres
    return Resource(
        draft.stack,
        "aws_db_parameter_group",
        "main",
        name=draft.names.database_parameters(choice.generation),
        family=f"postgres{choice.version.split('.')[0]}",
        description="Beta9",
        parameter=[{"name": name, "value": value} for name, value in _PARAMETERS.items()],
        lifecycle=Lifecycle(create_before_destroy=True),
    )


def _log_groups(draft: Draft) -> list[Resource]:
    """Add the log groups before RDS would make them, which keeps logs for ever."""
    return [
        log_group(draft, f"database_{log}", draft.names.database_log_group(log), LOG_DAYS)
        for log in DATABASE_LOGS
    ]
