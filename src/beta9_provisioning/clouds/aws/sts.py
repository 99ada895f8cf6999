"""What a user's token needs of AWS's Security Token Service: let me be that role.

One small HTTP client instead of an SDK. It trusts whom `kit.certificates` says, uses the proxies of the
environment, and takes STS's address from AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL if they are
set. What answers is not trusted: it is read up to a limit, and redirects are not followed.
"""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx

from beta9_provisioning.clouds.aws.clock import Skew, skew_of
from beta9_provisioning.clouds.aws.refusals import (
    ACCESS_DENIED,
    THROTTLED,
    USER,
    AwsError,
    plain,
    trust_statement,
    trusted_arn,
)
from beta9_provisioning.clouds.aws.rules import domain_of
from beta9_provisioning.clouds.aws.signing import Credentials, credentials_of, signed_headers
from beta9_provisioning.kit.certificates import FOR_AWS, CertificatesUnusable, is_untrusted, named

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
# Genuine answers have 1 to 3 kB.
ANSWER_BYTES = 64 * 1024
# Seconds before another try while AWS is busy or away.
PAUSES = (0.5, 1.0)

_FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class _Answer:
    """What came back: `document` is None when it was nothing that AWS says, and `failure` tells why."""

    status: int = 0
    document: ET.Element | None = None
    failure: str = ""
    date: str = ""
    untrusted: bool = False

    def text(self, path: str) -> str:
        """Return the text of the first element with this path; empty if there is none."""
        return "" if self.document is None else (self.document.findtext(path) or "").strip()

    @property
    def code(self) -> str:
        """AWS's error code, such as `AccessDenied`; empty when there was no error."""
        return self.text(".//{*}Error/{*}Code")

    @property
    def words(self) -> str:
        """What to show of it."""
        reason = self.text(".//{*}Error/{*}Message") or "no reason was given."
        return plain(self.failure or f"{self.code or f'HTTP {self.status}'}: {reason}")

    @property
    def skew(self) -> Skew | None:
        """What it says of this machine's clock."""
        message = self.text(".//{*}Error/{*}Message")
        return skew_of(self.code, message, now=datetime.now(UTC), date=self.date)

    @property
    def passing(self) -> bool:
        """Whether another try may have another answer."""
        if self.untrusted:
            return False
        return self.document is None or self.status >= 500 or self.code in THROTTLED


class Sts:
    """STS of one region. `endpoint` is its address without a slash at the end.

    Its methods raise AwsError: `role_refused`, `credentials_invalid`, `region_disabled`, `aws_unreachable`,
    `certificate_untrusted`, `clock_skewed`, `aws_throttled` or `aws_failed`. `session_name` is what
    CloudTrail shows.
    """

    def __init__(self, region: str, endpoint: str) -> None:
        self.region = region
        self.endpoint = endpoint

    def assume_role(
        self, own: Credentials, role_arn: str, *, external_id: str | None, session_name: str
    ) -> Credentials:
        """Return credentials of the role, good for an hour: every role grants that."""
        fields = {"RoleArn": role_arn, "RoleSessionName": session_name}
        if external_id is not None:
            fields["ExternalId"] = external_id
        answer = self._ask("AssumeRole", fields, own)
        if answer.code in ACCESS_DENIED:
            statement = trust_statement(self._caller_arn(own), external_id)
            raise USER.role_refused(role_arn, statement, answer.words)
        return self._credentials(answer, f"assume the role {role_arn}")

    def assume_role_with_web_identity(self, token: str, role_arn: str, *, session_name: str) -> Credentials:
        """Return credentials of the role for an identity provider's token; the request is not signed."""
        fields = {"RoleArn": role_arn, "RoleSessionName": session_name, "WebIdentityToken": token}
        answer = self._ask("AssumeRoleWithWebIdentity", fields, None)
        return self._credentials(answer, f"assume the role {role_arn} with a web identity")

    def _credentials(self, answer: _Answer, doing: str) -> Credentials:
        if answer.untrusted:
            raise USER.untrusted(self.region, doing, answer.words)
        if answer.document is None:
            raise USER.unreachable(self.region, doing, answer.words)
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        given = credentials_of(*(answer.text(f".//{{*}}Credentials/{{*}}{name}") for name in names))
        if given is None:
            if (skew := answer.skew) is not None:
                raise USER.clock_skewed(skew, doing, answer.words)
            tries = 1 + len(PAUSES)
            raise USER.refused(answer.code, answer.words, region=self.region, doing=doing, tries=tries)
        return given

    def _caller_arn(self, own: Credentials) -> str:
        """Return whom a role must trust; if AWS does not tell, the hint becomes less exact."""
        arn = self._ask("GetCallerIdentity", {}, own).text(".//{*}Arn")
        return trusted_arn(arn) or "ARN of your IAM user or role"

    def _ask(self, action: str, fields: dict[str, str], own: Credentials | None) -> _Answer:
        body = urlencode({"Action": action, "Version": "2011-06-15", **fields}).encode()
        answer = self._exchange(body, own)
        for pause in PAUSES:
            if not answer.passing:
                break
            time.sleep(pause)
            answer = self._exchange(body, own)
        return answer

    def _exchange(self, body: bytes, own: Credentials | None) -> _Answer:
        url = f"{self.endpoint}/"
        # Not compressed, so that what is read is what is limited.
        headers = {"Content-Type": _FORM, "Accept-Encoding": "identity", "User-Agent": "beta9-provisioning"}
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        try:
            if own is not None:
                headers |= signed_headers(
                    own, url=url, region=self.region, content_type=_FORM, body=body, at=datetime.now(UTC)
                )
            with (
                httpx.Client(verify=_trust(), timeout=timeout) as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                return _read(response)
        # Not only httpx's own errors: addresses and proxies that make no sense raise others.
        except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
            return _Answer(failure=str(error) or type(error).__name__, untrusted=is_untrusted(error))


def sts_of(region: str) -> Sts:
    """Return the STS of a region, or the one that the environment names."""
    named = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL")
    return Sts(region, (named or f"https://sts.{region}.{domain_of(region)}").rstrip("/"))


def _trust() -> ssl.SSLContext | bool:
    authorities = named(os.environ, FOR_AWS)
    try:
        return True if authorities is None else authorities.context()
    except CertificatesUnusable as error:
        raise AwsError(str(error)) from error


def _read(response: httpx.Response) -> _Answer:
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES:
            break
    try:
        document = ET.fromstring(body)  # noqa: S314  short, and expat limits what entities grow to
    except (ET.ParseError, ValueError):
        # Somebody else answers here: a proxy, a login page.
        return _Answer(failure=f"HTTP {response.status_code}, and not what AWS says.")
    return _Answer(response.status_code, document, date=response.headers.get("Date", ""))
