"""Names of an environment's resources in AWS: a pure function of its id.

An environment always gets the same names: that is how its resources are found again when the state is lost.
"""

import re
from dataclasses import dataclass

from beta9_provisioning.engine.errors import SynthesisError

_ENVIRONMENT_ID = re.compile(r"env_[0-9a-z]{16}")
_STEM_CHARACTERS = 12

DATABASE_LOGS = ("postgresql", "upgrade")
"""What RDS writes logs of."""

ADMIN_POLICY = "cluster-access-policy/AmazonEKSClusterAdminPolicy"
"""EKS's policy for who administrates a cluster, as the last part of its ARN."""

REDIS_USER = "beta9"
"""Who Beta9 is in Valkey."""
REDIS_PASSWORD = "redis_password"  # noqa: S105  the name of a variable
"""Terraform's variable with that user's password."""


@dataclass(frozen=True)
class Names:
    """Names of an environment's resources, within AWS's limits (18 characters and a suffix).

    `session` names the role session in CloudTrail.
    """

    stem: str
    session: str

    @property
    def cluster(self) -> str:
        """EKS cluster."""
        return self.stem

    def node_group(self, generation: int, kind: str) -> str:
        """EKS node group; the first releases made one without a generation, which is 0."""
        return _generation(f"{self.stem}-{kind}", generation)

    def launch_template(self, kind: str) -> str:
        """EC2 launch template of a node group; its versions change in place."""
        return f"{self.stem}-{kind}"

    @property
    def cluster_role(self) -> str:
        """IAM role of the control plane."""
        return f"{self.stem}-cluster"

    @property
    def node_role(self) -> str:
        """IAM role of the nodes."""
        return f"{self.stem}-node"

    @property
    def cni_role(self) -> str:
        """IAM role of the network plugin."""
        return f"{self.stem}-cni"

    @property
    def flow_log_role(self) -> str:
        """IAM role with which EC2 writes the flow log."""
        return f"{self.stem}-flow-log"

    @property
    def flow_log_group(self) -> str:
        """CloudWatch log group of the network's connections."""
        return f"/beta9/{self.stem}/flow"

    @property
    def cluster_log_group(self) -> str:
        """CloudWatch log group of the control plane; EKS knows no other name."""
        return f"/aws/eks/{self.cluster}/cluster"

    def database_log_group(self, log: str) -> str:
        """CloudWatch log group of one of the `DATABASE_LOGS`; RDS knows no other name."""
        return f"/aws/rds/instance/{self.database}/{log}"

    @property
    def log_groups(self) -> frozenset[str]:
        """All CloudWatch log groups."""
        database = {self.database_log_group(log) for log in DATABASE_LOGS}
        return frozenset({self.cluster_log_group, self.flow_log_group, *database})

    @property
    def ebs_csi_role(self) -> str:
        """IAM role of the EBS CSI driver's controller."""
        return f"{self.stem}-ebs-csi"

    @property
    def load_balancing_role(self) -> str:
        """IAM role of the load balancer controller."""
        return f"{self.stem}-lbc"

    @property
    def roles(self) -> frozenset[str]:
        """All IAM roles."""
        return frozenset(
            {
                self.cluster_role,
                self.node_role,
                self.cni_role,
                self.ebs_csi_role,
                self.flow_log_role,
                self.load_balancing_role,
                self.monitoring_role,
            }
        )

    @property
    def database(self) -> str:
        """RDS instance, its subnet group and its security group."""
        return f"{self.stem}-postgres"

    def database_parameters(self, generation: int) -> str:
        """RDS parameter group."""
        return _generation(self.database, generation)

    @property
    def monitoring_role(self) -> str:
        """IAM role with which RDS reports on the instance's operating system."""
        return f"{self.stem}-monitoring"

    @property
    def redis(self) -> str:
        """ElastiCache replication group, its subnet group, user, user group, security group and secret."""
        return f"{self.stem}-redis"

    def redis_parameters(self, generation: int) -> str:
        """ElastiCache parameter group."""
        return _generation(self.redis, generation)

    def bucket(self, prefix: str) -> str:
        """S3 bucket, from the user's prefix and the environment's own suffix."""
        return f"{prefix}-{self.stem.removeprefix('beta9-')}"

    def is_bucket(self, name: str) -> bool:
        """Return whether S3 bucket of that name is one of the environment's, whatever its prefix."""
        return name.endswith(self.bucket("")) or self.is_log_bucket(name)

    def is_log_bucket(self, name: str) -> bool:
        """Return whether it is the one with the log of accesses."""
        return name.endswith(self.log_bucket(""))

    def log_bucket(self, prefix: str) -> str:
        """S3 bucket with the log of accesses to the other one."""
        return f"{self.bucket(prefix)}-logs"


def _generation(name: str, generation: int) -> str:
    """Return the name of what is replaced by a later generation, made while this one still exists."""
    return f"{name}-{generation}" if generation else name


def names(environment_id: str) -> Names:
    """Return the deterministic names of an environment.

    Raises `SynthesisError` when the id is not `env_` and sixteen characters of [0-9a-z].
    """
    if not _ENVIRONMENT_ID.fullmatch(environment_id):
        raise SynthesisError(
            f"The environment id {environment_id!r} could not be used.",
            detail="Names in the cloud derive from it: it must be env_ and 16 characters of 0-9 and a-z.",
            code="invalid_environment_id",
        )
    return Names(
        stem=f"beta9-{environment_id[-_STEM_CHARACTERS:]}", session=f"beta9-provisioning-{environment_id}"
    )
