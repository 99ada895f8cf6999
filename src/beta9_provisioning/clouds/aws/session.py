"""Sessions as the customer's role, and what AWS's refusals mean in our words.

The worker's own credentials (environment, web identity, container or instance metadata) are used to assume
the customer's role, and to name the worker when that is refused. botocore renews the assumed credentials by
itself. Endpoints follow the standard AWS_ENDPOINT_URL* variables.

Sessions share botocore's descriptions of the services (`service_models`) and nothing else: credentials,
clients and connections are a session's own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.configprovider import ConfigChainFactory
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

from beta9_provisioning.clouds.aws.clock import Skew, skew_of
from beta9_provisioning.clouds.aws.refusals import (
    ACCESS_DENIED,
    WORKER,
    AwsError,
    trust_statement,
    trusted_arn,
)
from beta9_provisioning.clouds.aws.service_models import LOADER
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.kit.certificates import FOR_AWS, is_untrusted, named
from beta9_provisioning.kit.masking import quoted

CONNECT_SECONDS = 5
READ_SECONDS = 30
ATTEMPTS = 4
# A role assumed from a role (as on a pod with a role of its own) gets one hour at most, and that is also the
# least that every role grants.
ROLE_SECONDS = 3600


class AwsSession:
    """Clients of one region, acting as an assumed role.

    `session_name` is what the customer's CloudTrail shows. `s3_path_style` addresses buckets by path, as
    most S3-compatible stores demand. Safe to use from several threads.

    When `stop` is set no request is sent any more, nor sent again: every call, and every loop of calls, then
    raises Stopped. A request that is under way ends within its bounds.
    """

    def __init__(
        self,
        *,
        region: str,
        role_arn: str,
        external_id: str | None,
        session_name: str,
        s3_path_style: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        self.region = region
        self.role_arn = role_arn
        self.external_id = external_id
        self.session_name = session_name
        self._s3_path_style = s3_path_style
        self._stop = stop or threading.Event()
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
            raise WORKER.no_credentials("")
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
            raise WORKER.unreachable(self.region, doing, quoted(str(error))) from error

    def _open(self) -> botocore.session.Session:
        if self._session is None:
            core = self._core_session()
            core.register_component("credential_provider", CredentialResolver([self._provider()]))
            self._session = core
        return self._session

    def _core_session(self) -> botocore.session.Session:
        core = core_session()
        core.register("before-send", self._go_on)
        return core

    def _go_on(self, **_: object) -> None:
        """Do nothing before a request is sent, unless there was a request to stop."""
        if self._stop.is_set():
            raise Stopped("The work in the account was stopped.")

    def _ask_once(self, *, response: Any = None, caught_exception: Any = None, **_: object) -> None:
        """Do nothing when an answer has come, unless it is no answer and there was a request to stop."""
        failed = response is None or caught_exception is not None or response[0].status_code >= 500
        if failed and self._stop.is_set():
            raise Stopped("The work in the account was stopped.")

    def _config(self) -> Config:
        return Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            s3={"addressing_style": "path" if self._s3_path_style else "auto"},
            tcp_keepalive=True,
        )

    def _provider(self) -> CredentialProvider:
        # A request to stop does not close this one, for who cleans up afterwards must still be somebody. But
        # it asks once only.
        source = core_session()
        source.register("needs-retry", self._ask_once)
        create_client = partial(source.create_client, region_name=self.region, config=self._config())
        arguments: dict[str, Any] = {"RoleSessionName": self.session_name, "DurationSeconds": ROLE_SECONDS}
        if self.external_id is not None:
            arguments["ExternalId"] = self.external_id
        return _AssumedRole(source, create_client, self.role_arn, arguments)

    def _from_answer(self, error: ClientError, doing: str) -> AwsError:
        """Explain an error that AWS answered."""
        code = error_code(error)
        detail = quoted(str(error))
        skew = clock_skew(error)
        if skew is not None:
            return WORKER.clock_skewed(skew, doing, detail)
        if code not in ACCESS_DENIED:
            return WORKER.refused(code, detail, region=self.region, doing=doing, tries=ATTEMPTS)
        if error.operation_name == "AssumeRole":
            statement = trust_statement(self._worker_arn(), self.external_id)
            return WORKER.role_refused(self.role_arn, statement, detail)
        return AwsError(
            f"The role {self.role_arn} is not allowed to {doing}.",
            detail=detail,
            remedy="Add the permission named above to the role, and check the "
            "account's service control policies.",
            code="permission_missing",
        )

    def _from_botocore(self, error: BotoCoreError, doing: str) -> AwsError:
        """Explain an error that happened before AWS answered."""
        detail = quoted(str(error))
        if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
            return WORKER.no_credentials(detail)
        if is_untrusted(error):
            return WORKER.untrusted(self.region, doing, detail)
        if isinstance(error, HTTPClientError | ConnectionError):
            return WORKER.unreachable(self.region, doing, detail)
        return AwsError(f"AWS could not be asked to {doing}.", detail=detail)

    def _worker_arn(self) -> str:
        """Return whom a role must trust; if AWS does not tell, the hint becomes less exact."""
        try:
            core = self._core_session()
            sts: Any = core.create_client("sts", region_name=self.region, config=self._config())
            return trusted_arn(str(sts.get_caller_identity()["Arn"]))
        except (BotoCoreError, ClientError):
            return "ARN of the worker's IAM user or role"


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


def described(client: Any, operation: str, key: str, *filters: Mapping[str, Any]) -> list[Any]:
    """Return all that an operation of EC2 describes for filters, of all its pages.

    Raises:
        ClientError: AWS refused.
    """
    pages = client.get_paginator(operation).paginate(Filters=list(filters))
    return [entry for page in pages for entry in page[key]]


def error_code(error: ClientError) -> str:
    """Return AWS's error code of an answer, such as `NoSuchBucket`; a HEAD request has its HTTP status."""
    response: Mapping[str, Any] = error.response
    return str(response.get("Error", {}).get("Code", ""))


def clock_skew(error: ClientError) -> Skew | None:
    """Return what an answer that just came says of the worker's clock; None if it is about something else."""
    told: Mapping[str, Any] = error.response.get("Error", {})
    headers: Mapping[str, Any] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    date, message = str(headers.get("date", "")), str(told.get("Message", ""))
    return skew_of(error_code(error), message, now=datetime.now(UTC), date=date, times=told)


def core_session() -> botocore.session.Session:
    """Return a session with the worker's own credentials, whose look at the metadata service cannot hang.

    It trusts whom `kit.certificates` says; before a profile's `ca_bundle` goes `AWS_CA_BUNDLE` only.
    """
    core = botocore.session.Session()
    core.register_component("data_loader", LOADER)
    core.set_config_variable("metadata_service_timeout", 1)
    core.set_config_variable("metadata_service_num_attempts", 1)
    authorities = named(os.environ, FOR_AWS)
    of_profile = None if os.environ.get("AWS_CA_BUNDLE") else "ca_bundle"
    trusted = ConfigChainFactory(session=core).create_config_chain(
        config_property_names=of_profile, default=True if authorities is None else str(authorities.path)
    )
    core.get_component("config_store").set_config_provider("ca_bundle", trusted)
    return core
