"""Sessions as the customer's role, and what AWS's refusals mean in our words.

The worker's own credentials (environment, web identity, container or instance metadata) are used for one
thing only: to assume the customer's role. botocore renews the assumed credentials by itself. Endpoints
follow the standard AWS_ENDPOINT_URL* variables.

Sessions share botocore's descriptions of the services (`service_models`) and nothing else: credentials,
clients and connections are a session's own.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from beta9_provisioning.clouds.aws.service_models import LOADER
from beta9_provisioning.engine.errors import EngineError

CONNECT_SECONDS = 5
READ_SECONDS = 30
ATTEMPTS = 4
# A role assumed from a role (as on a pod with a role of its own) gets one hour at most, and that is also the
# least that every role grants.
ROLE_SECONDS = 3600

_ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
_REGION_DISABLED = frozenset({"RegionDisabledException", "OptInRequired"})
_BAD_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_THROTTLED = frozenset(
    {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)
_ASSUMED_ROLE = re.compile(
    r"^arn:(?P<partition>[\w-]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.*$"
)


class AwsError(EngineError):
    """AWS refused or failed a request."""

    code = "aws_failed"


class AwsSession:
    """Clients of one region, acting as an assumed role.

    `session_name` is what the customer's CloudTrail shows. `s3_path_style` addresses buckets by path, as
    most S3-compatible stores demand. Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        region: str,
        role_arn: str,
        external_id: str | None,
        session_name: str,
        s3_path_style: bool = False,
    ) -> None:
        self.region = region
        self.role_arn = role_arn
        self.external_id = external_id
        self.session_name = session_name
        self._s3_path_style = s3_path_style
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session: botocore.session.Session | None = None

    def client(self, service: str) -> Any:
        """Return the client of a service by its name, such as `eks`; annotate what you assign it to."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._open().create_client(
                    service, region_name=self.region, config=self._config()
                )
            return self._clients[service]

    def credentials(self) -> Credentials:
        """Return the assumed role's credentials, which renew themselves.

        Raises:
            AwsError: there are none, because the worker itself has none.
        """
        with self._lock:
            credentials = self._open().get_credentials()
        if credentials is None:
            raise _no_credentials("")
        return credentials

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn botocore's errors inside the block into AwsError.

        `doing` completes the sentence "AWS refused to ...", for example `describe the EKS cluster x`.
        """
        try:
            yield
        except ClientError as error:
            raise self._from_answer(error, doing) from error
        except BotoCoreError as error:
            raise self._from_botocore(error, doing) from error
        except ResponseParserError as error:
            raise self._unreachable(doing, str(error)) from error

    def _open(self) -> botocore.session.Session:
        if self._session is None:
            core = core_session()
            core.register_component("credential_provider", CredentialResolver([self._provider()]))
            self._session = core
        return self._session

    def _config(self) -> Config:
        return Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            s3={"addressing_style": "path" if self._s3_path_style else "auto"},
            tcp_keepalive=True,
        )

    def _provider(self) -> CredentialProvider:
        source = core_session()
        create_client = partial(source.create_client, region_name=self.region, config=self._config())
        arguments: dict[str, Any] = {"RoleSessionName": self.session_name, "DurationSeconds": ROLE_SECONDS}
        if self.external_id is not None:
            arguments["ExternalId"] = self.external_id
        return _AssumedRole(source, create_client, self.role_arn, arguments)

    def _from_answer(self, error: ClientError, doing: str) -> AwsError:
        """Explain an error that AWS answered."""
        code = error_code(error)
        detail = str(error)
        if error.operation_name == "AssumeRole" and code in _ACCESS_DENIED:
            return self._role_refused(detail)
        known: tuple[tuple[frozenset[str], Callable[[str, str], AwsError]], ...] = (
            (_ACCESS_DENIED, self._permission_missing),
            (_REGION_DISABLED, self._region_disabled),
            (_BAD_CREDENTIALS, self._bad_credentials),
            (_THROTTLED, _throttled),
        )
        for codes, explain in known:
            if code in codes:
                return explain(doing, detail)
        return AwsError(f"AWS failed to {doing}.", detail=detail)

    def _from_botocore(self, error: BotoCoreError, doing: str) -> AwsError:
        """Explain an error that happened before AWS answered."""
        if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
            return _no_credentials(str(error))
        if isinstance(error, HTTPClientError | ConnectionError):
            return self._unreachable(doing, str(error))
        return AwsError(f"AWS could not be asked to {doing}.", detail=str(error))

    def _unreachable(self, doing: str, detail: str) -> AwsError:
        """Nobody answered, or somebody who is not AWS (a proxy, mostly)."""
        return AwsError(
            f"AWS could not be reached in {self.region} to {doing}.",
            detail=detail,
            remedy="Check the worker's network, DNS and proxy, and that the region's name is right.",
            code="aws_unreachable",
        )

    def _role_refused(self, detail: str) -> AwsError:
        statement = json.dumps(trust_statement(self._worker_arn(), self.external_id), indent=2)
        return AwsError(
            f"The role {self.role_arn} refused to be assumed.",
            detail=detail,
            remedy=(
                f"Check that the role exists and that its trust policy holds this statement:\n{statement}\n"
                "The external ID must be the one in cloud.external_id. The worker's own identity needs "
                "permission for sts:AssumeRole on the role."
            ),
            code="role_refused",
        )

    def _worker_arn(self) -> str | None:
        """Return the ARN to trust for the worker, or None if AWS does not tell it."""
        try:
            sts: Any = core_session().create_client("sts", region_name=self.region, config=self._config())
            return trusted_arn(str(sts.get_caller_identity()["Arn"]))
        except (BotoCoreError, ClientError):
            return None  # only the hint becomes less exact

    def _permission_missing(self, doing: str, detail: str) -> AwsError:
        return AwsError(
            f"The role {self.role_arn} is not allowed to {doing}.",
            detail=detail,
            remedy="Add the permission named above to the role, and check the "
            "account's service control policies.",
            code="permission_missing",
        )

    def _region_disabled(self, _doing: str, detail: str) -> AwsError:
        return AwsError(
            f"The region {self.region} is not enabled in the account.",
            detail=detail,
            remedy="Enable the region (AWS console, Account, AWS Regions), or choose another one.",
            code="region_disabled",
        )

    def _bad_credentials(self, doing: str, detail: str) -> AwsError:
        return AwsError(
            f"AWS did not accept the credentials with which it was asked to {doing}.",
            detail=detail,
            remedy=(
                "Renew the worker's AWS credentials and check its clock. "
                f"If they are right, check that region {self.region} is enabled in the account."
            ),
            code="credentials_invalid",
        )


class _AssumedRole(CredentialProvider):
    """Credentials of the assumed role, asked for at first use and renewed before they expire."""

    METHOD = "assume-role"

    def __init__(
        self,
        source: botocore.session.Session,
        create_client: Callable[..., Any],
        role_arn: str,
        arguments: dict[str, Any],
    ) -> None:
        super().__init__()
        self._source = source
        self._create_client = create_client
        self._role_arn = role_arn
        self._arguments = arguments

    def load(self) -> DeferredRefreshableCredentials | None:
        own = self._source.get_credentials()
        if own is None:
            return None
        fetcher = AssumeRoleCredentialFetcher(
            self._create_client, own, self._role_arn, extra_args=self._arguments
        )
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=fetcher.fetch_credentials)


def trust_statement(worker_arn: str | None, external_id: str | None) -> dict[str, object]:
    """Return the statement that a role's trust policy needs so that the worker may assume the role.

    An external ID is not a secret; see "Access to AWS accounts owned by third parties" in the IAM guide.
    """
    statement: dict[str, object] = {
        "Effect": "Allow",
        "Principal": {"AWS": worker_arn or "ARN of the worker's IAM user or role"},
        "Action": "sts:AssumeRole",
    }
    if external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return statement


def trusted_arn(caller_arn: str) -> str:
    """Return the ARN that a trust policy must name to trust this caller: a role, rather than its session.

    A role with a path loses it here: the session's ARN does not tell it.
    """
    match = _ASSUMED_ROLE.match(caller_arn)
    if match is None:
        return caller_arn
    return f"arn:{match['partition']}:iam::{match['account']}:role/{match['role']}"


def error_code(error: ClientError) -> str:
    """Return AWS's error code of an answer, such as `NoSuchBucket`; a HEAD request has its HTTP status."""
    response: Mapping[str, Any] = error.response
    return str(response.get("Error", {}).get("Code", ""))


def core_session() -> botocore.session.Session:
    """Return a session with the worker's own credentials, whose look at the metadata service cannot hang."""
    core = botocore.session.Session()
    core.register_component("data_loader", LOADER)
    core.set_config_variable("metadata_service_timeout", 1)
    core.set_config_variable("metadata_service_num_attempts", 1)
    return core


def _no_credentials(detail: str) -> AwsError:
    return AwsError(
        "The worker has no AWS credentials, so it could not assume the role.",
        detail=detail,
        remedy=(
            "Give the worker an identity of its own: a role for its pod or instance, or AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY."
        ),
        code="credentials_missing",
    )


def _throttled(doing: str, detail: str) -> AwsError:
    return AwsError(
        f"AWS throttled the request to {doing}, {ATTEMPTS} times.",
        detail=detail,
        remedy="Try again in some minutes; other users of the account may be using up its request rate.",
        code="aws_throttled",
    )
