"""Contexts: the services that somebody works with, by name, in a file in the user's configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from beta9_provisioning.cli.output import ExitCode, Failure
from beta9_provisioning.kit.private_files import NotPrivate, alone, read_private, write_private

Place = Literal["keyring", "file"]
"""Where a credential lies."""
_FILE = "contexts.json"
_LOCK = "contexts.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PORTS = {"http": 80, "https": 443}


class Context(BaseModel):
    """One service, and how it is spoken to. What a later release added is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    server: str
    organization: str | None = None
    """Id of the organization to act in."""
    ca_file: str | None = None
    plain_http: bool = False
    """Send the credential although the way is not encrypted."""
    login: Place | None = None
    """Where the credential lies; None when nobody is logged in."""


class Contexts(BaseModel):
    """All contexts, and the current one."""

    model_config = ConfigDict(extra="allow")

    current: str | None = None
    contexts: dict[str, Context] = {}

    def get(self, name: str) -> Context:
        """Return the context of this name.

        Raises:
            Failure: there is none.
        """
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none yet; `auth login` makes one"
            raise Failure(f"There is no context {name!r}; there are: {known}.", ExitCode.NOT_FOUND)
        return self.contexts[name]

    def of_server(self, server: str) -> str | None:
        """Return the name of the context of a server: the current one, or else the only one."""
        names = [name for name, one in self.contexts.items() if same_server(one.server, server)]
        if self.current in names:
            return self.current
        return names[0] if len(names) == 1 else None


def directory() -> Path:
    """Return where this program keeps what it knows of its user."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        # The specification has relative paths ignored.
        above = Path(base) if Path(base).is_absolute() else Path.home() / ".config"
    except RuntimeError:  # a user without a home, as containers have them, has no contexts
        above = Path(os.devnull)
    return above / "beta9-provisioning"


def load() -> Contexts:
    """Return the contexts.

    Raises:
        Failure: the file cannot be trusted, or read.
    """
    path = directory() / _FILE
    content = private_content(path)
    if content is None:
        return Contexts()
    try:
        found = Contexts.model_validate_json(content)
    except ValidationError as error:
        raise Failure(
            f"{path} is broken ({_first(error)}). Mend it, or move it away and log in again: "
            "beta9-provisioning auth login"
        ) from None
    for name, context in found.contexts.items():
        check_name(name)
        check_server(context.server)
    return found


@contextmanager
def changing() -> Iterator[Contexts]:
    """Give the contexts to change, and write them when the block ends well; nobody else does meanwhile.

    Raises:
        Failure: they cannot be read or written.
    """
    path = directory() / _FILE
    with locked(_LOCK):
        found = load()
        yield found
        write_private(path, found.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock in the directory, which is made.

    Raises:
        Failure: it cannot be held.
    """
    try:
        with alone(directory() / name):
            yield
    except NotPrivate as error:
        raise Failure(str(error)) from error


def private_content(path: Path) -> bytes | None:
    """Return what a file of the directory holds.

    Raises:
        Failure: it cannot be trusted, or read.
    """
    try:
        return read_private(path)
    except NotPrivate as error:
        raise Failure(str(error)) from error
    except PermissionError:
        if _is_out_of_reach(path.parent):  # somebody else's home: there is nothing of ours
            return None
        raise


def check_name(name: str) -> None:
    """Refuse a name that no context can have.

    Raises:
        Failure: it is one.
    """
    if _NAME.fullmatch(name) is None:
        raise Failure(
            f"{name!r} cannot be a context's name: letters, digits, '.', '_' and '-', at most 63.",
            ExitCode.USAGE,
        )


def check_server(server: str) -> None:
    """Refuse an address that no service can have.

    Raises:
        Failure: it is one. What it holds is not told: it may be a password.
    """
    try:
        parts = urlsplit(server)
        fits = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.username is not None or parts.query or parts.fragment:
        raise Failure(
            "The service's address must be like https://provisioning.example.com, without user, password, "
            "'?' and '#'.",
            ExitCode.USAGE,
        )


def same_server(one: str, other: str) -> bool:
    """Tell whether two addresses are the same service's."""
    return _normal(one) == _normal(other)


def name_for(server: str, taken: Contexts) -> str:
    """Return a name for the context of a server: its host, with a number if that is taken."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", urlsplit(server).hostname or "").strip("-._")[:50] or "service"
    names = (host, *(f"{host}-{number}" for number in range(2, len(taken.contexts) + 3)))
    return next(name for name in names if name not in taken.contexts)


def _is_out_of_reach(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True
    return False


def _normal(server: str) -> tuple[object, ...]:
    try:
        parts = urlsplit(server)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return (server,)
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.username, parts.password


def _first(error: ValidationError) -> str:
    # Without what was found there.
    first = error.errors(include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])
