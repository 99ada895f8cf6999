"""The AWS stack as the tests synthesize it: one environment, one backend, and what it must tell."""

import json
from pathlib import Path
from typing import Any

from tests.support.configs import config

from beta9_provisioning.clouds.aws.choices import Choices, Zone
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.schemas.configuration import EnvironmentConfig

ENVIRONMENT_ID = "env_a1b2c3d4e5f6g7h8"
ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"
EXTERNAL_ID = "b9-0123456789abcdef"
BACKEND = Backend(
    {
        "bucket": "state",
        "key": f"environments/{ENVIRONMENT_ID}/terraform.tfstate",
        "region": "us-east-1",
        "role_arn": ROLE,
        "external_id": EXTERNAL_ID,
        "session_name": f"beta9-provisioning-{ENVIRONMENT_ID}",
        "path_style": True,
    },
)
ZONES = tuple(
    Zone(id=id_, name=name)
    for id_, name in (("use1-az1", "us-east-1a"), ("use1-az2", "us-east-1b"), ("use1-az4", "us-east-1c"))
)
OUTPUTS = {
    "vpc_id",
    "cluster_name",
    "cluster_endpoint",
    "cluster_version",
    "database_host",
    "database_port",
    "database_name",
    "database_username",
    "database_secret_arn",
    "redis_host",
    "redis_port",
    "bucket_name",
    "region",
}
Document = dict[str, Any]


def subject(wanted: EnvironmentConfig, backend: Backend = BACKEND) -> Subject:
    """Return what a configuration's stack is made of, in the tests' zones."""
    choices = Choices.first(wanted, ZONES).model_dump(mode="json")
    return Subject(wanted, ENVIRONMENT_ID, choices, backend)


def synthesized(outdir: Path, **sections: Any) -> Document:
    """Synthesize a configuration and return the Terraform document."""
    directory = synthesize(subject(config(**sections)), outdir)
    document: Document = json.loads((directory / "cdk.tf.json").read_text(encoding="utf-8"))
    return document
