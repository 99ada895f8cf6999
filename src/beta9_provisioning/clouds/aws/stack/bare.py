"""What every stack in AWS has, provider and backend, and the stack that has nothing else.

This module loads no CDK Terrain: the bare stack is plain data.
"""

from collections.abc import Mapping
from typing import Any

from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.engine.synthesis.blocks import Place, Value, literal, render_block
from beta9_provisioning.engine.synthesis.providers import load_schema
from beta9_provisioning.schemas.configuration import Cloud as CloudSection


def provider_arguments(cloud: CloudSection, environment_id: str) -> dict[str, Value]:
    """Return the arguments of the provider that are the same whatever the stack holds."""
    role = {
        "role_arn": cloud.role_arn,
        "external_id": cloud.external_id,
        "session_name": names(environment_id).session,
    }
    return {"region": cloud.region, "allowed_account_ids": [cloud.account_id], "assume_role": [role]}


def backend_body(
    *,
    bucket: str,
    key: str,
    region: str,
    role_arn: str,
    external_id: str | None = None,
    session_name: str | None = None,
    path_style: bool = False,
) -> dict[str, Any]:
    """Return Terraform's S3 backend: an encrypted object, locked by S3's own lock file.

    The role is assumed by Terraform itself, which also renews it.
    """
    role = {"role_arn": role_arn, "external_id": external_id, "session_name": session_name}
    body: dict[str, Any] = {
        "bucket": literal(bucket),
        "key": literal(key),
        "region": literal(region),
        "encrypt": True,
        "use_lockfile": True,
        "assume_role": {name: literal(value) for name, value in role.items() if value is not None},
    }
    return body | ({"use_path_style": True} if path_style else {})


def bare_stack(cloud: CloudSection, environment_id: str, backend: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Terraform configuration with provider and backend and without any resource."""
    schema = load_schema(SCHEMA_FILE)
    place = Place("provider aws", f"{schema.source} {schema.version}")
    provider = render_block(place, schema.provider, provider_arguments(cloud, environment_id))
    return {
        "terraform": {
            "backend": {"s3": backend_body(**backend)},
            "required_providers": {"aws": {"source": schema.source, "version": schema.version}},
        },
        "provider": {"aws": [provider]},
    }
