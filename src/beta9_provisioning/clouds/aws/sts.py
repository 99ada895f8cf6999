"""The two questions a user's token needs of AWS's Security Token Service: let me be that role; who am I.

One small HTTP client instead of an SDK. As botocore does, it trusts AWS_CA_BUNDLE (or else the public
authorities), uses the proxies of the environment, and takes AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL for
STS's address. What answers is not trusted: size and time are bounded, and redirects are not followed.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import httpx

from beta9_provisioning.clouds.aws import refusals
from beta9_provisioning.clouds.aws.signing import Credentials, credentials_of, signed_headers

# Bounds of one try, in seconds, and of an answer, in bytes; genuine answers have 1 to 3 kB.
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
ANSWER_SECONDS = 20.0
ANSWER_BYTES = 64 * 1024
# Tries while AWS is busy or away, and seconds between the first two; the pause doubles.
ATTEMPTS = 3
PAUSE_SECONDS = 0.5
# The least that every role grants, and the most when a role is assumed from a role.
ROLE_SECONDS = 3600

_VERSION = "2011-06-15"
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
_REGION = re.compile(r"[a-z]+(-[a-z0-9]+)+")
# The partitions' domains, after botocore's data/partitions.json; a test holds them against it.
SUFFIXES = {
    "aws": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-eusc": "amazonaws.eu",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-iso-e": "cloud.adc-e.uk",
    "aws-iso-f": "csp.hci.ic.gov",
    "aws-us-gov": "amazonaws.com",
}


@dataclass(frozen=True)
class _Answer:
    """What came back; `document` is None when it was nothing that AWS says, and `words` tell why."""

    status: int = 0
    document: ET.Element | None = field(default=None, repr=False)
    words: str = field(default="", repr=False)
    passing: bool = False

    def text(self, path: str) -> str:
        """Return the text of the first element with this path; empty if there is none."""
        found = None if self.document is None else self.document.findtext(path)
        return (found or "").strip()

    @property
    def code(self) -> str:
        """AWS's error code, such as `AccessDenied`; empty when there was no error."""
        return self.text(".//{*}Error/{*}Code")


class Sts:
    """STS of one region. `endpoint` is its address without a slash at the end."""

    def __init__(self, region: str, endpoint: str) -> None:
        self.region = region
        self.endpoint = endpoint

    def assume_role(
        self, own: Credentials, role_arn: str, *, external_id: str | None, session_name: str
    ) -> Credentials:
        """Return credentials of the role, good for ROLE_SECONDS; `session_name` is what CloudTrail shows.

        Raises:
            EngineError: `role_refused`, `credentials_invalid`, `region_disabled`, `aws_unreachable`,
                `aws_throttled` or `aws_failed`.
        """
        fields = {
            "RoleArn": role_arn,
            "RoleSessionName": session_name,
            "DurationSeconds": str(ROLE_SECONDS),
            **({} if external_id is None else {"ExternalId": external_id}),
        }
        doing = f"assume the role {role_arn}"
        answer = self._ask(own, "AssumeRole", fields)
        words = refusals.plain(answer.words, own.secrets)
        if answer.document is None:
            raise refusals.unreachable(self.region, doing, words)
        if answer.code in refusals.ACCESS_DENIED:
            raise refusals.role_refused(role_arn, external_id, self._caller_arn(own), words)
        if answer.status != 200:
            raise refusals.refused(answer.code, words, region=self.region, doing=doing, tries=ATTEMPTS)
        given = (answer.text(f".//{{*}}Credentials/{{*}}{name}") for name in _PARTS)
        role = credentials_of(*given)
        if role is None or not role.session_token:
            raise refusals.refused("", "Its answer held no credentials.", region="", doing=doing, tries=1)
        return role

    def _caller_arn(self, own: Credentials) -> str | None:
        """Return whose credentials these are, or None if AWS does not tell: a hint becomes less exact."""
        return refusals.plain(self._ask(own, "GetCallerIdentity", {}).text(".//{*}Arn")) or None

    def _ask(self, own: Credentials, action: str, fields: dict[str, str]) -> _Answer:
        body = urlencode({"Action": action, "Version": _VERSION, **fields}).encode()
        answer = _Answer()
        for number in range(ATTEMPTS):
            if number:
                time.sleep(PAUSE_SECONDS * 2 ** (number - 1))
            answer = self._exchange(own, body)
            if not answer.passing:
                break
        return answer

    def _exchange(self, own: Credentials, body: bytes) -> _Answer:
        url = f"{self.endpoint}/"
        headers = signed_headers(
            own, url=url, region=self.region, content_type=_FORM, body=body, at=datetime.now(UTC)
        )
        # Not compressed, so that what is read is what is bounded.
        headers |= {"Accept-Encoding": "identity", "User-Agent": "beta9-provisioning"}
        try:
            with _client() as client, client.stream("POST", url, content=body, headers=headers) as response:
                return _read(response.status_code, _bounded(response.iter_raw()))
        except httpx.TimeoutException as error:
            return _Answer(words=f"There was no answer in time ({type(error).__name__}).")
        except httpx.HTTPError as error:
            return _Answer(words=str(error) or type(error).__name__, passing=True)
        # What httpx raises for a proxy's address that it does not understand.
        except (httpx.InvalidURL, ImportError, ValueError) as error:
            return _Answer(words=str(error))


_PARTS = ("AccessKeyId", "SecretAccessKey", "SessionToken")


def sts_for(region: str, role_arn: str) -> Sts:
    """Return the STS to ask about a role: of that region, in the role's partition.

    Raises:
        EngineError: `aws_failed`; the region, the ARN or the endpoint in the environment makes no sense.
    """
    if not _REGION.fullmatch(region):
        raise refusals.unusable(f"{region} is not the name of an AWS region.", "Check the option --region.")
    for variable in _ENDPOINT_VARIABLES:
        if os.environ.get(variable):
            return Sts(region, _endpoint(variable))
    partition = [*role_arn.split(":"), ""][1]
    if partition not in SUFFIXES:
        raise refusals.unusable(f"{role_arn} is not the ARN of a role.", "Check the option --role-arn.")
    return Sts(region, f"https://sts.{region}.{SUFFIXES[partition]}")


def _endpoint(variable: str) -> str:
    url = os.environ[variable].strip().rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is no number
    except ValueError:
        parts = urlsplit("")
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        # The value is not shown: it may hold a password.
        raise refusals.unusable(
            f"{variable} is not the address of an endpoint.",
            "Remove it, or set it to an address such as https://sts.example.com.",
        )
    return url


def _client() -> httpx.Client:
    return httpx.Client(verify=_trust(), timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS))


def _trust() -> ssl.SSLContext:
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if not bundle:
        return httpx.create_ssl_context(trust_env=False)
    # Not `ssl.create_default_context`: from Python 3.13 on it refuses what many companies' authorities issue.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=bundle)
    except OSError as error:
        remedy = "Set it to a file of certificates (PEM), or remove it."
        raise refusals.unusable(
            "The file that AWS_CA_BUNDLE names could not be used.", remedy, refusals.plain(str(error))
        ) from error
    return context


def _bounded(chunks: Iterator[bytes]) -> bytes | None:
    """Return the whole answer, or None when it is too long or takes too long."""
    deadline = time.monotonic() + ANSWER_SECONDS
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > ANSWER_BYTES or time.monotonic() > deadline:
            return None
    return bytes(body)


def _read(status: int, body: bytes | None) -> _Answer:
    passing = status in (429, 500, 502, 503, 504)
    document = None if body is None else _parsed(body)
    if document is None:
        # Somebody else answers here: a proxy, a login page.
        return _Answer(status, words=f"HTTP {status}, and not what AWS says.", passing=passing)
    answer = _Answer(status, document)
    words = f"{answer.code or 'HTTP ' + str(status)}: {answer.text('.//{*}Error/{*}Message')}"
    return _Answer(status, document, words, passing or answer.code in refusals.THROTTLED)


def _parsed(body: bytes) -> ET.Element | None:
    try:
        text = body.decode("utf-8")
        # AWS declares nothing, and a declaration of entities can make a small document a huge one.
        return None if "<!" in text else ET.fromstring(text)  # noqa: S314
    except (UnicodeDecodeError, ET.ParseError):
        return None
