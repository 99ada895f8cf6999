"""The customer's account of an operation; the seam where another cloud is chosen."""

from beta9_provisioning.clouds.aws.account import AwsCloud, AwsTarget
from beta9_provisioning.engine.spec import check_supported
from beta9_provisioning.operations.run.context import Context


def cloud_of(context: Context) -> AwsCloud:
    """Return the account, the same object for the whole attempt: it holds credentials that refresh.

    Raises:
        NotSupported: the configuration asks for what cannot be built yet.
    """
    if context.cloud is None:
        check_supported(context.config)
        place = context.config.cloud
        target = AwsTarget(
            environment_id=context.claim.environment_id,
            account_id=place.account_id or "",
            region=place.region,
            role_arn=place.role_arn or "",
            external_id=place.external_id,
            s3_path_style=context.settings.s3_path_style,
        )
        context.cloud = AwsCloud(target, context.stop.event)
    return context.cloud
