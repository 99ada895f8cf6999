"""Which release of EKS's machine image a new environment's nodes start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession, error_code

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

# "Retrieve recommended Amazon Linux AMI IDs" in the EKS user guide.
_PARAMETER = (
    "/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/x86_64/standard/recommended/release_version"
)


def release(session: AwsSession, version: str) -> str:
    """Return the release that AWS recommends today for a Kubernetes version, such as 1.35.1-20261120.

    Raises:
        AwsError: `image_unavailable` when AWS has none for the version; or AWS failed.
    """
    ssm: SSMClient = session.client("ssm")
    name = _PARAMETER.format(version=version)
    with session.explained("look up the nodes' machine image"):
        try:
            return ssm.get_parameter(Name=name)["Parameter"]["Value"]
        except ClientError as error:
            if error_code(error) != "ParameterNotFound":
                raise
    raise AwsError(
        f"AWS publishes no machine image for Kubernetes {version} in {session.region}.",
        detail=f"There is no parameter {name}.",
        remedy="Choose another region, or ask AWS when it comes.",
        code="image_unavailable",
    )
