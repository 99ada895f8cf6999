"""The bucket in the customer's account that holds the Terraform state of its environments in one region.

Environments come and go at the same time, and the last one to go takes the bucket with it. So every step
may find the bucket made, or gone, by somebody else. An environment's marker object keeps the bucket: S3
deletes only empty ones.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.policies import policy, tls_only
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession, clock_skew, error_code
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.kit.texts import ANSWER_BYTES

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import (
        CreateBucketRequestTypeDef,
        LifecycleRuleTypeDef,
        ObjectIdentifierTypeDef,
    )

# S3 may refuse the name of a bucket that was just deleted for a while, and a new bucket may be unknown to
# some of its servers for some seconds.
SETTLE_SECONDS = 90.0
POLL_SECONDS = 1.0

_ABSENT = frozenset({"404", "NoSuchBucket"})
# A state is written anew with every resource: its versions are kept for as long as somebody may miss one.
_LIFECYCLE: list[LifecycleRuleTypeDef] = [
    {
        "ID": "expire-old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
]
_BUSY = frozenset({"OperationAborted", "ConditionalRequestConflict"})


def bucket_name(account_id: str, region: str) -> str:
    """Return the name of the account's state bucket in a region."""
    return f"beta9-tfstate-{account_id}-{region}"


def state_key(environment_id: str) -> str:
    """Return the key of an environment's Terraform state."""
    return f"environments/{environment_id}/terraform.tfstate"


class StateBucket:
    """The state bucket of one account and region, through the account's role."""

    def __init__(self, session: AwsSession, account_id: str, stop: threading.Event) -> None:
        self._session = session
        self._account_id = account_id
        self._stop = stop
        self.name = bucket_name(account_id, session.region)

    def ensure(self, environment_id: str, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        """Make the bucket if absent, see to its settings, and leave the environment's marker in it.

        Safe to repeat, and safe while others make or delete the bucket; it is tried again for
        `settle_seconds` when they come in between.

        Raises:
            AwsError: `bucket_taken` when the bucket belongs to another account, or another failure of AWS.
            Stopped: the stop event was set while waiting for others.
        """
        deadline = time.monotonic() + settle_seconds
        with self._session.explained(f"prepare the state bucket {self.name}"):
            while not self._ensured(environment_id, last_try=time.monotonic() >= deadline):
                if self._stop.wait(POLL_SECONDS):
                    raise Stopped(f"Preparing the state bucket {self.name} was stopped.")

    def holds_resources(self, environment_id: str) -> bool:
        """Return whether the environment has a state with any resource in it.

        A state that is no JSON of the known form, or too long to be looked at, counts as one: Terraform is to
        say what is wrong with it.

        Raises:
            AwsError: AWS refused or failed.
        """
        with self._session.explained("read the environment's state"):
            try:
                answer = self._s3.get_object(
                    Bucket=self.name, ExpectedBucketOwner=self._account_id, Key=state_key(environment_id)
                )
                text = answer["Body"].read(ANSWER_BYTES)
            except ClientError as error:
                if error_code(error) in _ABSENT | {"NoSuchKey"}:
                    return False
                raise
        try:
            return bool(json.loads(text)["resources"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return True

    def purge(self, environment_id: str) -> None:
        """Delete everything of the environment in all versions, then the bucket if nothing else is in it.

        Raises:
            AwsError: AWS refused to delete an object or failed.
        """
        with self._session.explained(f"delete the environment's state in the bucket {self.name}"):
            try:
                self._delete_versions(f"environments/{environment_id}/")
                self._s3.delete_bucket(Bucket=self.name, ExpectedBucketOwner=self._account_id)
            except ClientError as error:
                # Not empty, or being made or deleted: somebody else has it.
                if error_code(error) not in _ABSENT | _BUSY | {"BucketNotEmpty"}:
                    raise

    @property
    def _s3(self) -> S3Client:
        client: S3Client = self._session.client("s3")
        return client

    @property
    def _arn(self) -> str:
        partition = self._session.role_arn.split(":")[1]
        return f"arn:{partition}:s3:::{self.name}"

    def _ensured(self, environment_id: str, *, last_try: bool) -> bool:
        try:
            if not self._exists():
                self._create()
            self._protect()
            self._mark(environment_id)
        except ClientError as error:
            if error_code(error) in _ABSENT | _BUSY and not last_try:
                return False
            raise
        return True

    def _exists(self) -> bool:
        try:
            self._s3.head_bucket(Bucket=self.name, ExpectedBucketOwner=self._account_id)
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return False
            if error_code(error) == "403" and clock_skew(error) is None:
                raise self._not_ours(str(error)) from error
            raise
        return True

    def _create(self) -> None:
        request: CreateBucketRequestTypeDef = {"Bucket": self.name, "ObjectOwnership": "BucketOwnerEnforced"}
        if self._session.region != "us-east-1":  # which S3 refuses as a location constraint
            request["CreateBucketConfiguration"] = {"LocationConstraint": self._session.region}  # type: ignore[typeddict-item]
        try:
            self._s3.create_bucket(**request)
        except ClientError as error:
            if error_code(error) == "BucketAlreadyExists":
                raise self._not_ours(str(error)) from error
            if error_code(error) != "BucketAlreadyOwnedByYou":
                raise

    def _protect(self) -> None:
        """Apply what a state bucket must have; what the customer chose of the last three stays."""
        bucket, owner, s3 = self.name, self._account_id, self._s3
        s3.put_public_access_block(
            Bucket=bucket,
            ExpectedBucketOwner=owner,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        s3.put_bucket_versioning(
            Bucket=bucket, ExpectedBucketOwner=owner, VersioningConfiguration={"Status": "Enabled"}
        )
        if not self._has(s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"):
            s3.put_bucket_encryption(
                Bucket=bucket,
                ExpectedBucketOwner=owner,
                ServerSideEncryptionConfiguration={
                    "Rules": [
                        {
                            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                            "BucketKeyEnabled": True,
                            "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
                        }
                    ]
                },
            )
        # Where S3 is reached without TLS, as some S3-compatible stores are, the policy would lock us out.
        if s3.meta.endpoint_url.startswith("https://") and not self._has(
            s3.get_bucket_policy, "NoSuchBucketPolicy"
        ):
            s3.put_bucket_policy(
                Bucket=bucket, ExpectedBucketOwner=owner, Policy=policy([tls_only(self._arn)])
            )
        if not self._has(s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"):
            s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, ExpectedBucketOwner=owner, LifecycleConfiguration={"Rules": _LIFECYCLE}
            )

    def _has(self, read: Callable[..., object], absent: str) -> bool:
        """Return whether the bucket has what is read; `absent` is how S3 says that it has none."""
        try:
            read(Bucket=self.name, ExpectedBucketOwner=self._account_id)
        except ClientError as error:
            if error_code(error) == absent:
                return False
            raise
        return True

    def _mark(self, environment_id: str) -> None:
        marker = {"environment_id": environment_id, "managed_by": "beta9-provisioning"}
        try:
            self._s3.put_object(
                Bucket=self.name,
                ExpectedBucketOwner=self._account_id,
                Key=f"environments/{environment_id}/environment.json",
                Body=json.dumps(marker).encode(),
                ContentType="application/json",
                IfNoneMatch="*",  # a repeat must not pile up versions
            )
        except ClientError as error:
            if error_code(error) != "PreconditionFailed":
                raise

    def _delete_versions(self, prefix: str) -> None:
        # The first page again and again, as each empties it: markers of deleted versions are not relied on.
        while doomed := self._some_versions(prefix):
            answer = self._s3.delete_objects(
                Bucket=self.name,
                ExpectedBucketOwner=self._account_id,
                Delete={"Objects": doomed, "Quiet": True},
            )
            for failure in answer.get("Errors", ()):
                raise AwsError(
                    f"The object {failure.get('Key')} in the bucket {self.name} could not be deleted.",
                    detail=f"{failure.get('Code')}: {failure.get('Message')}",
                    remedy="Allow the role s3:DeleteObject and s3:DeleteObjectVersion on the bucket.",
                )

    def _some_versions(self, prefix: str) -> list[ObjectIdentifierTypeDef]:
        """Return at most 1,000 versions and delete markers, as many as one request may delete."""
        page = self._s3.list_object_versions(
            Bucket=self.name, Prefix=prefix, ExpectedBucketOwner=self._account_id
        )
        entries = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]

    def _not_ours(self, detail: str) -> AwsError:
        return AwsError(
            f"The bucket {self.name} could not be used.",
            detail=f"Account {self._account_id} does not own it, or its role may not see it. {detail}",
            remedy=(
                f"Allow the role s3:ListBucket on {self._arn}. If another account owns the bucket, it holds "
                "a name that should be yours: use another region, and report it to AWS."
            ),
            code="bucket_taken",
        )
