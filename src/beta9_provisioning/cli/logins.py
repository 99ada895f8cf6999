"""Stored credentials: in the system's keyring when it has a genuine one, or else in a file with mode 0600."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_serializer

from beta9_provisioning.cli.contexts import Place, directory, locked, private_content, same_server
from beta9_provisioning.cli.output import ExitCode, Failure
from beta9_provisioning.client.device_login import DeviceLogin, Tokens
from beta9_provisioning.kit.private_files import write_private
from beta9_provisioning.schemas.callers import OidcLogin

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_FILE = "credentials.json"
_LOCK = "credentials.lock"
_SERVICE = "beta9-provisioning"
_REMEDY = "Log in again: beta9-provisioning auth login"
# A token that ends while a request is on its way would be refused.
_EARLY_SECONDS = 30.0
# What the library itself recommends; plain text files, and those that keep nothing, are below.
_GENUINE_PRIORITY = 1.0


class Login(BaseModel):
    """The credential of one context. It is never written anywhere but where it lies."""

    kind: Literal["key", "oidc"]
    server: str
    """The only service that may see it."""
    bearer: SecretStr
    """The key, or the token."""
    refresh: SecretStr | None = None
    expires_at: float | None = None
    """Seconds since 1970; None when the service alone knows."""
    issuer: OidcLogin | None = None

    @classmethod
    def of_tokens(cls, server: str, issuer: OidcLogin, tokens: Tokens) -> Login:
        """Return the login that an issuer's tokens make."""
        return cls(
            kind="oidc",
            server=server,
            bearer=SecretStr(tokens.bearer),
            refresh=None if tokens.refresh is None else SecretStr(tokens.refresh),
            expires_at=tokens.expires_at,
            issuer=issuer,
        )

    @field_serializer("bearer", "refresh", when_used="json")
    def _reveal(self, secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()


class _File(BaseModel):
    logins: dict[str, Login] = Field(default_factory=dict)


class StoredLogin:
    """A context's credential for a client: renewed when it has run out, by one process at a time."""

    def __init__(
        self,
        name: str,
        place: Place,
        server: str,
        *,
        plain_http: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the context, where its credential lies, and the service that will be shown it."""
        self._name = name
        self._place = place
        self._server = server
        self._plain_http = plain_http
        self._clock = clock
        self._known: Login | None = None

    def token(self) -> str:
        """Return what to send.

        Raises:
            Failure: there is nothing, or it is another service's.
            LoginEnded: it has run out and is renewed no more.
        """
        if self._known is None:
            self._known = self._read()
        login = self._known
        token = login.bearer.get_secret_value()
        if login.expires_at is not None and login.expires_at - _EARLY_SECONDS <= self._clock():
            return self.renewed(token) or token
        return token

    def renewed(self, refused: str) -> str | None:
        """Return another token instead of this one; None when there is none.

        Raises:
            LoginEnded: the issuer gives none any more.
        """
        if self._known is None or self._known.refresh is None or self._known.issuer is None:
            return None
        with _one_at_a_time(self._name):
            login = self._read()  # another process may have been first
            if login.bearer.get_secret_value() == refused and login.refresh and login.issuer:
                issuer = DeviceLogin(login.issuer, plain_http=self._plain_http)
                tokens = issuer.renew(login.refresh.get_secret_value())
                login = Login.of_tokens(login.server, login.issuer, tokens)
                _write(self._name, login, self._place)
        self._known = login
        return login.bearer.get_secret_value()

    def _read(self) -> Login:
        login = read(self._name, self._place)
        if login is None:
            raise Failure(
                f"The credential of the context {self._name} is gone. {_REMEDY}",
                ExitCode.REFUSED,
            )
        if not same_server(login.server, self._server):
            raise Failure(
                f"The credential of the context {self._name} is for {login.server}, so {self._server} does "
                f"not get it. {_REMEDY}",
                ExitCode.REFUSED,
            )
        return login


def read(name: str, place: Place) -> Login | None:
    """Return the credential of a context, if there is one.

    Raises:
        Failure: the keyring or the file cannot be used.
    """
    if place == "file":
        return _file().logins.get(name)
    text = _asking(lambda backend: backend.get_password(_SERVICE, name))
    try:
        return None if text is None else Login.model_validate_json(text)
    except ValidationError:
        raise Failure(
            f"What the keyring holds for the context {name} is no credential of this program. "
            "Log in again: beta9-provisioning auth login"
        ) from None


def write(name: str, login: Login) -> Place:
    """Store the credential of a context in place of any other, and return where it lies.

    Raises:
        Failure: it cannot be stored.
    """
    with _one_at_a_time(name):
        backend = _genuine()
        place: Place = "file" if backend is None or not _takes(backend, name, login) else "keyring"
        _write_file(name, login if place == "file" else None)
    return place


def remove(name: str, place: Place) -> None:
    """Remove the credential of a context; that there is none is no error.

    Raises:
        Failure: the keyring or the file cannot be used.
    """
    with _one_at_a_time(name):
        if place == "file":
            _write_file(name, None)
        elif read(name, place) is not None:
            _asking(lambda backend: backend.delete_password(_SERVICE, name))


def _one_at_a_time(name: str) -> AbstractContextManager[None]:
    return locked(f"login-{name}.lock")


def _write(name: str, login: Login, place: Place) -> None:
    if place == "file":
        _write_file(name, login)
    else:
        _asking(lambda backend: backend.set_password(_SERVICE, name, login.model_dump_json()))


def _file() -> _File:
    path = directory() / _FILE
    content = private_content(path)
    try:
        return _File() if content is None else _File.model_validate_json(content)
    except ValidationError:
        # Nothing of the error is told: it would quote what is there.
        raise Failure(
            f"{path} is broken. Remove it and log in again: beta9-provisioning auth login"
        ) from None


def _write_file(name: str, login: Login | None) -> None:
    path = directory() / _FILE
    with locked(_LOCK):
        stored = _file()
        if stored.logins.get(name) == login:
            return
        if login is None:
            del stored.logins[name]
        else:
            stored.logins[name] = login
        write_private(path, stored.model_dump_json(indent=2).encode() + b"\n")


def _genuine() -> KeyringBackend | None:
    """Return the system's keyring; None when there is none that keeps secrets as secrets."""
    import keyring  # noqa: PLC0415  takes a tenth of a second
    from keyring.backends.chainer import ChainerBackend  # noqa: PLC0415

    chosen = keyring.get_keyring()
    several = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    return next((one for one in several if one.priority >= _GENUINE_PRIORITY), None)


def _takes(backend: KeyringBackend, name: str, login: Login) -> bool:
    try:
        backend.set_password(_SERVICE, name, login.model_dump_json())
    except Exception:  # noqa: BLE001  it is locked or gone, and backends are plugins: the file is always there
        # What it holds of an earlier login is of no use any more. It may be none, or out of reach.
        with suppress(Exception):
            backend.delete_password(_SERVICE, name)
        return False
    return True


def _asking(ask: Callable[[KeyringBackend], Any]) -> Any:
    backend = _genuine()
    if backend is None:
        raise Failure(
            "The credential lies in the system's keyring, and there is none here. Unlock or start it, set "
            "BETA9_API_KEY, or log in again: beta9-provisioning auth login"
        )
    try:
        return ask(backend)
    except Exception as error:  # backends are plugins, and raise what they like
        raise Failure(
            f"The system's keyring does not answer as it should ({type(error).__name__}). Unlock it, set "
            "BETA9_API_KEY, or log in again: beta9-provisioning auth login"
        ) from error
