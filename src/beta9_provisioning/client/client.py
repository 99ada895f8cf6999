"""The REST API as Python methods."""

import secrets
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from beta9_provisioning.client.bearer import Credential
from beta9_provisioning.client.errors import TEMPORARY, ApiProblem, Unreachable
from beta9_provisioning.client.stream import Stream
from beta9_provisioning.client.transport import Transport
from beta9_provisioning.lifecycle import FINAL, EnvironmentStatus
from beta9_provisioning.schemas.environment import (
    Environment,
    EnvironmentPage,
    EnvironmentSummary,
    Event,
    EventPage,
)

if TYPE_CHECKING:
    from beta9_provisioning.client.access_calls import Access

_ENVIRONMENTS = "/api/v1/environments"
_PAGE = 100
_LIVE = [one.value for one in EnvironmentStatus if one is not EnvironmentStatus.DESTROYED]


class Client:
    """One service, spoken to over HTTP. Every method raises `ApiProblem` and `Unreachable`.

    A request whose connection broke is repeated a few times, unless a second one could do harm: the create of
    an environment carries an idempotency key, what `access` creates does not.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 15.0,
        attempts: int = 3,
        patience: float = 30.0,
        credential: Credential | None = None,
        organization: str | None = None,
        plain_http: bool = False,
    ) -> None:
        """Name the service.

        Args:
            base_url: such as `http://localhost:8000`.
            timeout: seconds to wait for one answer.
            attempts: how many times a request is sent whose connection breaks.
            patience: seconds for which a service that has had too many requests is waited for.
            credential: who is asking; it is sent to this service only.
            organization: id of the organization to act in.
            plain_http: send the credential although everybody on the way can read it.

        Raises:
            CertificatesMissing: the file of authorities to trust, which a variable names, cannot be used.
            CredentialUnfit: the credential may not be sent there.
            Unreachable: this is no URL.
        """
        self._transport = Transport(
            base_url,
            timeout=timeout,
            attempts=attempts,
            patience=patience,
            credential=credential,
            organization=organization,
            plain_http=plain_http,
        )

    @cached_property
    def access(self) -> "Access":
        """Organizations, members, keys, the audit log."""
        # Most commands do without, and its types take time to load.
        from beta9_provisioning.client.access_calls import Access  # noqa: PLC0415

        return Access(self._transport)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._transport.http.close()

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
            response = self._transport.send("POST", _ENVIRONMENTS, headers=headers, content=config)
        else:
            response = self._transport.send("POST", _ENVIRONMENTS, headers=headers, json=dict(config))
        return self._transport.parse(Environment, response)

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
        params = {"status": _LIVE if status is None and live else status, "name": name}
        for page in self._transport.pages(EnvironmentPage, _ENVIRONMENTS, params, limit):
            yield from page.items

    def get(self, environment_id: str) -> Environment:
        """Return one environment."""
        return self._transport.ask(Environment, "GET", _path(environment_id))

    def events(self, environment_id: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the history after the event `after`, oldest first, and end where it ends now."""
        following: int | None = after
        while following is not None:
            params = {"after": following, "limit": _PAGE}
            page = self._transport.ask(EventPage, "GET", _path(environment_id) + "/events", params=params)
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
        stream = Stream(
            self._transport.http, _path(environment_id) + "/events", after=after, patience=patience
        )
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
        return self._transport.ask(Environment, "PATCH", _path(environment_id), json=changes)

    def delete(self, environment_id: str, *, delete_objects: bool = False) -> Environment:
        """Ask for an environment's end; the answer may be that it is destroyed already.

        `delete_objects` has its objects deleted, whatever its configuration says.
        """
        query = "?objects=delete" if delete_objects else ""
        return self._transport.ask(Environment, "DELETE", _path(environment_id) + query)

    def kubeconfig(self, environment_id: str) -> str:
        """Return a kubeconfig (YAML) for the environment's cluster; it holds no secret."""
        return self._transport.send("GET", _path(environment_id) + "/kubeconfig").text

    def health(self) -> dict[str, Any]:
        """Return what the service says about its readiness, problems included."""
        response = self._transport.send("GET", "/health/ready", expect_success=False)
        try:
            answer = response.json()
        except ValueError as error:
            raise Unreachable(self._transport.base_url, "something else answers there") from error
        return {"status_code": response.status_code, **answer}


def _path(environment_id: str) -> str:
    return f"{_ENVIRONMENTS}/{quote(environment_id, safe='')}"
