"""The REST API as Python methods."""

import os
import secrets
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from beta9_provisioning.client.errors import (
    TEMPORARY,
    ApiProblem,
    CertificatesMissing,
    Unreachable,
    refusal_of,
    unreachable,
)
from beta9_provisioning.client.stream import Stream
from beta9_provisioning.kit.certificates import CertificatesUnusable, named
from beta9_provisioning.lifecycle import FINAL, EnvironmentStatus
from beta9_provisioning.schemas.environment import (
    Environment,
    EnvironmentPage,
    EnvironmentSummary,
    Event,
    EventPage,
)

_ENVIRONMENTS = "/api/v1/environments"
_PAGE = 100
_LARGEST_PAGE = 1000
_LIVE = [one.value for one in EnvironmentStatus if one is not EnvironmentStatus.DESTROYED]

_Model = TypeVar("_Model", bound=BaseModel)


class Client:
    """One service, spoken to over HTTP. Every method raises `ApiProblem` and `Unreachable`.

    A request whose connection broke is repeated a few times: all of them may be, a create because it carries
    an idempotency key.
    """

    def __init__(self, base_url: str, *, timeout: float = 15.0, attempts: int = 3) -> None:
        """Name the service.

        Args:
            base_url: such as `http://localhost:8000`.
            timeout: seconds to wait for one answer.
            attempts: how many times a request is sent whose connection breaks.

        Raises:
            CertificatesMissing: the file of authorities to trust, which a variable names, cannot be used.
            Unreachable: this is no URL.
        """
        self.base_url = base_url.rstrip("/")
        self._attempts = attempts
        try:
            # A proxy of the environment would have to know the customer's private network; none is asked.
            self._http = httpx.Client(
                base_url=self.base_url, verify=_trust(self.base_url), timeout=timeout, trust_env=False
            )
        except httpx.InvalidURL as error:
            raise Unreachable(base_url, f"this is no URL: {error}") from error

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def create(
        self,
        config: str | bytes | Mapping[str, Any],
        *,
        content_type: str = "application/yaml",
        idempotency_key: str | None = None,
    ) -> Environment:
        """Ask for a new environment.

        Args:
            config: the configuration as text of the given type, or as a mapping, which is sent as JSON.
            content_type: of the text: `application/yaml` or `application/json`.
            idempotency_key: the same key gets the same environment; none takes a new one.
        """
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        if isinstance(config, str | bytes):
            headers["Content-Type"] = content_type
            response = self._send("POST", _ENVIRONMENTS, headers=headers, content=config)
        else:
            response = self._send("POST", _ENVIRONMENTS, headers=headers, json=dict(config))
        return self._parse(Environment, response)

    def list(
        self,
        *,
        status: str | None = None,
        name: str | None = None,
        live: bool = False,
        limit: int | None = None,
    ) -> Iterator[EnvironmentSummary]:
        """Yield environments, newest first, page by page.

        Args:
            status: only those with this status.
            name: only those with this name.
            live: only those that are not destroyed; ignored when a status is given.
            limit: at most so many.
        """
        wanted = {"status": _LIVE if status is None and live else status, "name": name}
        params: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
        left = limit
        while left is None or left > 0:
            params["limit"] = _PAGE if left is None else min(left, _LARGEST_PAGE)
            page = self._parse(EnvironmentPage, self._send("GET", _ENVIRONMENTS, params=params))
            yield from page.items
            if page.next_cursor is None:
                return
            params["cursor"] = page.next_cursor
            left = None if left is None else left - len(page.items)

    def get(self, environment_id: str) -> Environment:
        """Return one environment."""
        return self._parse(Environment, self._send("GET", _path(environment_id)))

    def events(self, environment_id: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the history after the event `after`, oldest first, and end where it ends now."""
        following: int | None = after
        while following is not None:
            params = {"after": following, "limit": _PAGE}
            page = self._parse(EventPage, self._send("GET", _path(environment_id) + "/events", params=params))
            yield from page.items
            following = page.next_after

    def watch(self, environment_id: str, *, after: int = 0, patience: float = 60.0) -> Iterator[Event]:
        """Yield the history after the event `after` and go on live until no operation is running.

        A broken connection is resumed where it broke, a restart of the service included.

        Args:
            environment_id: which environment.
            after: id of the last event that is known already.
            patience: seconds without any answer of the service after which `Unreachable` is raised.
        """
        stream = Stream(self._http, _path(environment_id) + "/events", after=after, patience=patience)
        while True:
            yield from stream.until_closed()
            # The service closes a stream when it is over, when it has lived long enough, and when it stops.
            try:
                if self.get(environment_id).operation.status in FINAL:
                    break
            except Unreachable:
                continue  # the stream waits for its return, with patience
            except ApiProblem as error:
                if error.status not in TEMPORARY:
                    raise
        yield from self.events(environment_id, after=stream.last_id)

    def protect(self, environment_id: str, *, deletion_protection: bool) -> Environment:
        """Turn an environment's deletion protection on or off."""
        changes = {"deletion_protection": deletion_protection}
        return self._parse(Environment, self._send("PATCH", _path(environment_id), json=changes))

    def delete(self, environment_id: str) -> Environment:
        """Ask for an environment's end; the answer may be that it is destroyed already."""
        return self._parse(Environment, self._send("DELETE", _path(environment_id)))

    def kubeconfig(self, environment_id: str) -> str:
        """Return a kubeconfig (YAML) for the environment's cluster; it holds no secret."""
        return self._send("GET", _path(environment_id) + "/kubeconfig").text

    def health(self) -> dict[str, Any]:
        """Return what the service says about its readiness, problems included."""
        response = self._send("GET", "/health/ready", expect_success=False)
        try:
            answer = response.json()
        except ValueError as error:
            raise Unreachable(self.base_url, "something else answers there") from error
        return {"status_code": response.status_code, **answer}

    def _send(
        self, method: str, path: str, *, expect_success: bool = True, **arguments: Any
    ) -> httpx.Response:
        response = self._try(method, path, **arguments)
        if expect_success and not response.is_success:
            raise refusal_of(response)
        return response

    def _try(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        failure: httpx.HTTPError | None = None
        for _ in range(self._attempts):
            try:
                return self._http.request(method, path, **arguments)
            except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:  # trying again would not help
                raise unreachable(self.base_url, error) from error
            except httpx.TransportError as error:
                failure = error
        assert failure is not None
        raise unreachable(self.base_url, failure) from failure

    def _parse(self, model: type[_Model], response: httpx.Response) -> _Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            raise Unreachable(
                self.base_url, f"the answer is not this API's: {where}: {first['msg']}"
            ) from error


def _trust(base_url: str) -> ssl.SSLContext | bool:
    authorities = named(os.environ) if base_url.lower().startswith("https:") else None
    try:
        return True if authorities is None else authorities.context()
    except CertificatesUnusable as error:
        raise CertificatesMissing(str(error)) from error


def _path(environment_id: str) -> str:
    return f"{_ENVIRONMENTS}/{quote(environment_id, safe='')}"
