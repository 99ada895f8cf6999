"""One cluster's Kubernetes API over HTTPS: connections that are kept, a fresh token for each call, patience.

It reads and writes plain JSON documents; paths and kinds are the caller's.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.kubernetes.patience import Patience
from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.certificates import is_untrusted
from beta9_provisioning.kit.masking import quoted
from beta9_provisioning.kit.texts import ANSWER_BYTES, TEXT_BYTES, clean_text

# Bounds of one call, in seconds. A stop request is noticed between two of them.
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
ANSWER_SECONDS = 30.0
# For how long a call is repeated while the API is busy or away.
REPEAT_SECONDS = 60.0

JSON = "application/json"
SERVER_SIDE_APPLY = "application/apply-patch+yaml"  # JSON is YAML


class ClusterError(EngineError):
    """The cluster's API failed, or what is in the cluster is not as it must be."""

    code = "cluster_failed"


@dataclass(frozen=True)
class Answer:
    """How one call ended.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        document: the JSON document that was answered; empty if it was none.
        words: what the API, or the network, said; for people.
        passing: whether a failure is of a kind that passes.
        retry_after: seconds to wait before the next try, as the API asked.
        untrusted: whether the other side's certificate was not accepted.
    """

    status: int
    document: dict[str, Any] = field(default_factory=dict, repr=False)
    words: str = field(default="", repr=False)
    passing: bool = False
    retry_after: float = 0.0
    untrusted: bool = False

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether the token was not accepted."""
        return self.status == 401

    @property
    def reason(self) -> str:
        """The machine-readable reason of a refusal, such as `AlreadyExists`; empty if none was given."""
        return "" if self.ok else str(self.document.get("reason", ""))


class KubernetesApi:
    """Calls to one cluster's API. Threads may share it; `close` it when none uses it any more.

    Proxies are taken from the environment, as everywhere. When `stop` is set, waits end at once, and a call
    that is under way ends within its bounds: when Stopped is raised, nothing is under way any more.
    """

    def __init__(self, access: ClusterAccess, stop: threading.Event) -> None:
        self._base = access.endpoint.rstrip("/")
        self._token = access.token
        self._stop = stop
        self._client = httpx.Client(
            verify=_trust(access.certificate_authority),
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            # Not compressed: some KiB would become some MiB before they could be counted.
            headers={"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": "beta9-provisioning"},
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def patience(self, seconds: float) -> Patience:
        """Return patience for that many seconds, which ends at once when `stop` is set."""
        return Patience(seconds, self._stop)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
        expected: str | None = None,
        confidential: bool = False,
        patience: Patience | None = None,
    ) -> Answer:
        """Make one call, again and again while the API is busy, away or does not know the role yet.

        `expected` is the reason of a refusal that is no failure, and is returned like a success. The API's
        own words about a `confidential` body are not repeated, because they may quote it. `patience` ends
        the tries; without it they end after REPEAT_SECONDS.

        Raises:
            ClusterError: `cluster_unauthorized`, `cluster_unreachable`, `certificate_untrusted`,
                `cluster_failed`, or `answer_too_large` for more than 16 MiB.
            Stopped: the stop event was set.
        """
        patience = patience or self.patience(REPEAT_SECONDS)
        content = None if body is None else json.dumps(body).encode()
        while True:
            patience.go_on()
            request = self._client.build_request(
                method,
                self._base + path,
                content=content,
                params=query,
                # Signing takes a tenth of a millisecond, so no token is old enough to expire.
                headers={"Authorization": f"Bearer {self._token().value}", "Content-Type": content_type},
            )
            answer = self._exchange(request, patience)
            if answer.ok or (expected and answer.reason == expected):
                return answer
            if not patience.wait_after(
                passing=answer.passing, refused=answer.refused, at_least=answer.retry_after
            ):
                raise _failed(f"{method} {path}", answer, confidential)

    def _exchange(self, request: httpx.Request, patience: Patience) -> Answer:
        go_on = _within(time.monotonic() + ANSWER_SECONDS, patience)
        _call.go_on = go_on
        try:
            response = self._client.send(request, stream=True)
            try:
                return _read(response, _bounded(go_on, response.iter_raw()))
            finally:
                response.close()
        except httpx.RequestError as error:
            words = quoted(str(error))
            words = words or f"It did not answer in time ({type(error).__name__})."
            untrusted = is_untrusted(error)
            return Answer(0, words=words, passing=not untrusted, untrusted=untrusted)


def _within(deadline: float, patience: Patience) -> Callable[[], None]:
    """Return what ends an answer that takes too long, or to stop; it is called whenever some of it comes."""

    def go_on() -> None:
        patience.go_on()
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout(f"Its answer was not complete after {ANSWER_SECONDS:.0f} s.")

    return go_on


class _Call(threading.local):
    """The call that this thread makes."""

    go_on: Callable[[], None]


_call = _Call()


class _Socket(ssl.SSLSocket):
    """Looks at every read whether the call may go on: httpx bounds each, and headers may come by bytes."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        _call.go_on()
        return super().recv(buflen, flags)


def _bounded(go_on: Callable[[], None], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass on an answer as it comes; end it when it is too long."""
    size = 0
    for chunk in chunks:
        go_on()
        size += len(chunk)
        if size > ANSWER_BYTES:
            raise ClusterError(
                f"The cluster's Kubernetes API answered more than {ANSWER_BYTES >> 20} MiB at once.",
                detail="No list of what is asked for is as long in a cluster that serves Beta9 alone.",
                remedy="Check that the endpoint is the cluster's, and remove what fills it.",
                code="answer_too_large",
            )
        yield chunk


def _read(response: httpx.Response, chunks: Iterator[bytes]) -> Answer:
    status = response.status_code
    try:
        document = json.loads(b"".join(chunks))
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        words = f"HTTP {status}: {quoted(str(document.get('message', '')))}"
    else:
        # Somebody else answers here: a proxy, a load balancer, a login page.
        words = f"HTTP {status}, without a JSON document."
        status, document = (0 if response.is_success else status), {}
    return Answer(status, document, words, _passes(status), _retry_after(response))


def _passes(status: int) -> bool:
    # 500 is what etcd without a leader, or a webhook that is not there yet, comes to.
    return status in (429, 500, 502, 503, 504)


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that the API asks to wait; it never gives a date."""
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else 0.0


def _trust(certificate_authority: str) -> ssl.SSLContext:
    """Return what accepts certificates of that authority (PEM in base64), and of no other.

    `ssl.create_default_context` is stricter from Python 3.13 on and refuses authorities that lack a key
    identifier, as those of some clouds' clusters do: https://github.com/kubernetes-client/python/issues/2394.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _Socket
    context.load_verify_locations(cadata=base64.b64decode(certificate_authority).decode())
    return context


def _failed(doing: str, answer: Answer, confidential: bool) -> ClusterError:
    words = f"HTTP {answer.status} {answer.reason}" if confidential and answer.status else answer.words
    # A refusal may be as long as the cluster's owner likes.
    detail = f"{doing}: {clean_text(words, TEXT_BYTES // 2)}"
    if answer.refused:
        return ClusterError(
            "The cluster did not accept the role's token.",
            detail=detail,
            remedy="Check that the cluster has an access entry with a policy for the role Beta9Provisioner.",
            code="cluster_unauthorized",
        )
    if answer.untrusted:
        return ClusterError(
            "The certificate of the cluster's Kubernetes API was not accepted.",
            detail=detail,
            remedy=certificates.CLUSTER_REMEDY,
            code=certificates.CODE,
        )
    if answer.passing:
        return ClusterError(
            "The cluster's Kubernetes API could not be reached.",
            detail=detail,
            remedy="Check that the cluster is ACTIVE and that the worker's network reaches its endpoint.",
            code="cluster_unreachable",
        )
    return ClusterError(
        "The cluster's Kubernetes API did not do what it was asked to.",
        detail=detail,
        remedy="Remove the cause that is named, then repeat the operation.",
    )
