"""Names of an environment's resources in AWS: a pure function of its id.

An environment always gets the same names: that is how its resources are found again when the state is lost.
"""

import re
from dataclasses import dataclass

from beta9_provisioning.engine.errors import SynthesisError

_ENVIRONMENT_ID = re.compile(r"env_[0-9a-z]{16}")
_STEM_CHARACTERS = 12


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

    def node_group(self, generation: int) -> str:
        """EKS node group; the first releases made one without a generation, which is 0."""
        return f"{self.stem}-nodes" + (f"-{generation}" if generation else "")

    @property
    def cluster_role(self) -> str:
        """IAM role of the control plane."""
        return f"{self.stem}-cluster"

    @property
    def node_role(self) -> str:
        """IAM role of the nodes."""
        return f"{self.stem}-node"

    @property
    def ebs_csi_role(self) -> str:
        """IAM role of the EBS CSI driver's controller."""
        return f"{self.stem}-ebs-csi"

    @property
    def database(self) -> str:
        """RDS instance, its subnet group and its security group."""
        return f"{self.stem}-postgres"

    @property
    def redis(self) -> str:
        """ElastiCache replication group, its subnet group, parameter group and security group."""
        return f"{self.stem}-redis"

    def bucket(self, prefix: str) -> str:
        """S3 bucket, from the user's prefix and the environment's own suffix."""
        return f"{prefix}-{self.stem.removeprefix('beta9-')}"


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
