"""Who the worker itself is in AWS, as far as that can be told at its start without asking AWS."""

from botocore.exceptions import BotoCoreError, ConfigParseError, ProfileNotFound

from beta9_provisioning.clouds.aws.session import core_session
from beta9_provisioning.clouds.cloud import WorkerProblem


def problems() -> list[WorkerProblem]:
    """Return what is wrong with the worker's own credentials; their values are not told.

    A profile that does not exist will not come by itself. Everything else may: a role that is attached later,
    a file that is mounted when its agent has started.
    """
    session = core_session()
    try:
        found = session.get_credentials() is not None
    except ProfileNotFound as error:
        return [
            WorkerProblem(
                f"AWS_PROFILE names the profile {session.profile}, which no file has: {error}. "
                "Correct its name, or AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE.",
                is_fatal=True,
            )
        ]
    except ConfigParseError as error:
        return [WorkerProblem(f"AWS_CONFIG_FILE cannot be read: {error}.", is_fatal=True)]
    except BotoCoreError as error:
        return [WorkerProblem(f"The worker's AWS credentials cannot be used: {error}.", is_fatal=False)]
    if found:
        return []
    return [
        WorkerProblem(
            "The worker has no AWS credentials, so operations in AWS will fail. Give it a role (of its pod "
            "or machine), AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            is_fatal=False,
        )
    ]
