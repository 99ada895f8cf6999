"""Log in with an OIDC issuer by the device flow (RFC 8628), and renew what it gave (RFC 6749, section 6)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from beta9_provisioning.client.bearer import check_way
from beta9_provisioning.client.errors import (
    CertificateUntrusted,
    IssuerUnreachable,
    LoginEnded,
    Unreachable,
    unreachable,
)
from beta9_provisioning.client.transport import http_client, read_whole
from beta9_provisioning.schemas.callers import OidcLogin

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# `offline_access` asks for a token to renew with; issuers leave out what they do not know.
_SCOPE = "openid profile email offline_access"
_ANSWER_SECONDS = 15.0
_USUAL_INTERVAL = 5.0
_SLOWER_BY = 5.0
_SHORTEST_INTERVAL = 0.1
_LONGEST_INTERVAL = 60.0
_LONGEST_LOGIN = 3600.0
# Of a token whose issuer does not say how long it lives; one that has run out earlier is noticed, too.
_SHORTEST_LIFE = 60.0
_EXCERPT = 200


@dataclass(frozen=True)
class Tokens:
    """What an issuer gave.

    Attributes:
        bearer: what the service is shown.
        refresh: what it is renewed with, if that is possible.
        expires_at: seconds since 1970.
    """

    bearer: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_at: float


@dataclass(frozen=True)
class Prompt:
    """What a person has to do: open the page and enter the code. `link` has the code in it, if given."""

    page: str
    code: str
    link: str | None


class DeviceLogin:
    """One issuer and this program's registration there."""

    def __init__(
        self,
        login: OidcLogin,
        *,
        plain_http: bool = False,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Name the issuer.

        Raises:
            CredentialUnfit: it would be spoken to in plain HTTP, and that was not allowed.
        """
        check_way(login.issuer, plain_http=plain_http)
        self._login = login
        self._plain_http = plain_http
        self._clock = clock
        self._sleep = sleep

    def run(self, show: Callable[[Prompt], object]) -> Tokens:
        """Let a person log in, who is shown where, and return what the issuer gave.

        Raises:
            LoginEnded: they refused, time is up, or the issuer does not offer this.
            Unreachable: the issuer does not answer.
        """
        with self._issuer() as http:
            places = self._discover(http)
            device = places.get("device_authorization_endpoint")
            if not device:
                raise LoginEnded(
                    f"The issuer {self._login.issuer} has no device flow. Log in with a key instead: "
                    "beta9-provisioning auth login --with-key"
                )
            form = {"client_id": self._login.client_id, "scope": _SCOPE, "audience": self._login.audience}
            began = self._clock()
            status, given = self._post(http, device, form)
            if status != httpx.codes.OK:
                raise self._refused(given)
            show(self._prompt(given))
            ends = began + min(_seconds(given.get("expires_in"), _LONGEST_LOGIN), _LONGEST_LOGIN)
            return self._poll(http, places["token_endpoint"], given, ends)

    def renew(self, refresh: str) -> Tokens:
        """Return new tokens.

        Raises:
            LoginEnded: the issuer gives none any more.
            Unreachable: it does not answer.
        """
        with self._issuer() as http:
            place = self._discover(http)["token_endpoint"]
            form = {
                "grant_type": "refresh_token",
                "refresh_token": refresh,
                "client_id": self._login.client_id,
            }
            status, given = self._post(http, place, form)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise IssuerUnreachable(self._login.issuer, f"the issuer answered {status}")
        if status != httpx.codes.OK:
            raise self._refused(given)
        return self._tokens(given, refresh)

    @contextmanager
    def _issuer(self) -> Iterator[httpx.Client]:
        # Issuers are often outside the customer's network, and then behind its proxy.
        away = self._login.issuer.lower().startswith("https:")
        with http_client(self._login.issuer, timeout=_ANSWER_SECONDS, proxied=away) as http:
            yield http

    def _discover(self, http: httpx.Client) -> dict[str, str]:
        url = f"{self._login.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, document = self._answer(http, "GET", url)
        if status != httpx.codes.OK or document.get("issuer") != self._login.issuer:
            raise IssuerUnreachable(self._login.issuer, f"no OIDC issuer of this name answers at {url}")
        names = ("token_endpoint", "device_authorization_endpoint")
        places = {name: str(document[name]) for name in names if document.get(name)}
        if "token_endpoint" not in places:
            raise IssuerUnreachable(self._login.issuer, f"{url} names no token endpoint")
        for place in places.values():
            check_way(place, plain_http=self._plain_http)
        return places

    def _prompt(self, given: dict[str, Any]) -> Prompt:
        page, code, link = (
            given.get(name) for name in ("verification_uri", "user_code", "verification_uri_complete")
        )
        if not (_is_page(page) and isinstance(code, str) and isinstance(given.get("device_code"), str)):
            raise IssuerUnreachable(self._login.issuer, "the answer is none of the device flow")
        return Prompt(str(page), code[:_EXCERPT], str(link) if _is_page(link) else None)

    def _poll(self, http: httpx.Client, place: str, given: dict[str, Any], ends: float) -> Tokens:
        asked = _seconds(given.get("interval"), _USUAL_INTERVAL)
        interval = min(max(asked, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)
        form = {
            "grant_type": _DEVICE_GRANT,
            "device_code": given["device_code"],
            "client_id": self._login.client_id,
        }
        while self._clock() < ends:
            self._sleep(interval)
            try:
                status, answer = self._post(http, place, form)
            except CertificateUntrusted:
                raise
            except Unreachable:
                interval = min(interval * 2, _LONGEST_INTERVAL)  # RFC 8628, 3.5
                continue
            if status == httpx.codes.OK:
                return self._tokens(answer, None)
            if answer.get("error") == "slow_down" or status == httpx.codes.TOO_MANY_REQUESTS:
                interval += _SLOWER_BY
            elif (
                answer.get("error") != "authorization_pending" and status < httpx.codes.INTERNAL_SERVER_ERROR
            ):
                raise self._refused(answer)
        raise self._refused({"error": "expired_token"})

    def _tokens(self, given: dict[str, Any], refresh: str | None) -> Tokens:
        # Some issuers' access tokens are for their own eyes only; their ID token is what others can read.
        kinds = ("access_token", "id_token")
        tokens = [given[name] for name in kinds if isinstance(given.get(name), str)]
        bearer = next((token for token in tokens if token.count(".") == 2), None)
        if bearer is None:
            raise LoginEnded(
                f"The issuer {self._login.issuer} gave no token that others can read (a JWT). "
                "Ask who runs the service, or log in with a key: beta9-provisioning auth login --with-key"
            )
        newer = given.get("refresh_token")
        kept = newer if isinstance(newer, str) and newer else refresh
        return Tokens(bearer, kept, self._clock() + _seconds(given.get("expires_in"), _SHORTEST_LIFE))

    def _refused(self, given: dict[str, Any]) -> LoginEnded:
        error = str(given.get("error") or "no reason given")[:_EXCERPT]
        known = {
            "access_denied": "The login was refused.",
            "expired_token": "The time for logging in is over.",
            "invalid_grant": f"The login with {self._login.issuer} is over.",
        }
        told = known.get(error, f"The issuer {self._login.issuer} refused the login ({error}).")
        return LoginEnded(f"{told} Log in again: beta9-provisioning auth login")

    def _post(self, http: httpx.Client, url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        return self._answer(http, "POST", url, data=form)

    def _answer(
        self, http: httpx.Client, method: str, url: str, **arguments: Any
    ) -> tuple[int, dict[str, Any]]:
        try:
            with http.stream(method, url, headers={"Accept": "application/json"}, **arguments) as response:
                answer = read_whole(self._login.issuer, response)
        except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL) as error:
            raise unreachable(self._login.issuer, error, IssuerUnreachable) from error
        try:
            document = answer.json()
        except (ValueError, RecursionError):
            document = None
        return answer.status_code, document if isinstance(document, dict) else {}


def _is_page(url: object) -> bool:
    try:
        return isinstance(url, str) and len(url) <= 2048 and urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _seconds(given: object, otherwise: float) -> float:
    """Return a number of seconds that an issuer names, or ours if it is none."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 10**9:
        return otherwise
    return float(given)
