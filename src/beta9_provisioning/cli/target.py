"""Which service a command speaks to, as whom: its options, the variables, and the contexts."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from beta9_provisioning.cli.output import Failure, trust

if TYPE_CHECKING:
    from beta9_provisioning.cli.contexts import Context, Contexts
    from beta9_provisioning.client import Client, Credential

DEFAULT_SERVER = "http://localhost:8000"
SERVER_VARIABLE = "BETA9_PROVISIONING_URL"
CONTEXT_VARIABLE = "BETA9_CONTEXT"
KEY_VARIABLE = "BETA9_API_KEY"
_ANSWER_SECONDS = 15.0
_PANEL = "Service"


def _context_names(incomplete: str) -> list[str]:
    from beta9_provisioning.cli.contexts import load  # noqa: PLC0415

    try:
        return [name for name in load().contexts if name.startswith(incomplete)]
    except (Failure, OSError):
        return []


ContextName = Annotated[str, typer.Argument(metavar="NAME", autocompletion=_context_names)]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help=f"Where it is; else {SERVER_VARIABLE}, the context's, {DEFAULT_SERVER}.",
        rich_help_panel=_PANEL,
    ),
]
ContextOption = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help=f"Context to use; else {CONTEXT_VARIABLE}, the current one.",
        autocompletion=_context_names,
        rich_help_panel=_PANEL,
    ),
]
OrganizationOption = Annotated[
    str | None,
    typer.Option(
        "--organization",
        envvar="BETA9_ORGANIZATION",
        metavar="ID",
        help="Organization to act in; else the context's.",
        rich_help_panel=_PANEL,
    ),
]
ServiceCaFileOption = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="Certificates (PEM) of authorities to trust; else the context's, SSL_CERT_FILE.",
        rich_help_panel=_PANEL,
    ),
]
PlainHttpOption = Annotated[
    bool,
    typer.Option(
        "--plain-http",
        envvar="BETA9_PLAIN_HTTP",
        help="Send the credential over unencrypted HTTP, too.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True)
class Service:
    """The options of a command, as they were given."""

    server: str | None = None
    context: str | None = None
    organization: str | None = None
    ca_file: Path | None = None
    plain_http: bool = False

    def target(self, *, new: bool = False) -> Target:
        """Return which service is meant; with `new`, the context that is named need not be there.

        Raises:
            Failure: the context that was named does not exist, or the contexts cannot be read.
        """
        from beta9_provisioning.cli.contexts import load, same_server  # noqa: PLC0415

        known = load()
        name, server = self._choose(known, new=new)
        context = known.contexts.get(name) if name else None
        if context is not None and not same_server(context.server, server):
            context = None  # what is another service's stays there
        return Target(
            server=server,
            name=name,
            context=context,
            organization=self.organization or (context.organization if context else None),
            plain_http=self.plain_http or bool(context and context.plain_http),
            ca_file=self.ca_file,
        )

    @contextmanager
    def client(self, *, timeout: float = _ANSWER_SECONDS, attempts: int = 3) -> Iterator[Client]:
        """Speak to the service.

        Raises:
            Failure: it cannot be told which one is meant, or as whom.
        """
        target = self.target()
        with target.client(target.credential(), timeout=timeout, attempts=attempts) as client:
            yield client

    def _choose(self, known: Contexts, *, new: bool) -> tuple[str | None, str]:
        """Return the context's name, if one is meant, and the service's address.

        What is typed goes before what the environment says, and an address before a context.
        """
        named = self.context or os.environ.get(CONTEXT_VARIABLE) or None
        typed = known.contexts.get(self.context or "")
        server = self.server or (None if typed else os.environ.get(SERVER_VARIABLE)) or None
        if named and not new:
            known.get(named)
        if server is None and (name := named or known.current) and (name in known.contexts or not new):
            return name, known.get(name).server
        server = server or DEFAULT_SERVER
        return named or known.of_server(server), server


@dataclass(frozen=True)
class Target:
    """One service.

    Attributes:
        server: its address.
        name: of the context that was named, or found for the service.
        context: that context, if it is this service's.
        organization: in which to act.
        ca_file: the option; the context's counts without it.
    """

    server: str
    name: str | None
    context: Context | None
    organization: str | None
    plain_http: bool
    ca_file: Path | None

    def credential(self) -> Credential | None:
        """Return as whom to ask: the variable's key, or what the context has; None for nobody."""
        from beta9_provisioning.client import FixedKey  # noqa: PLC0415

        key = os.environ.get(KEY_VARIABLE)
        if key:
            return FixedKey(key)
        if self.name is None or self.context is None or self.context.login is None:
            return None
        from beta9_provisioning.cli.logins import StoredLogin  # noqa: PLC0415

        return StoredLogin(self.name, self.context.login, self.server, plain_http=self.plain_http)

    def client(
        self, credential: Credential | None, *, timeout: float = _ANSWER_SECONDS, attempts: int = 3
    ) -> Client:
        """Return a client of the service that asks with this credential."""
        from beta9_provisioning.client import Client  # noqa: PLC0415

        self.trust()
        return Client(
            self.server,
            timeout=timeout,
            attempts=attempts,
            patience=30.0 if attempts > 1 else 0.0,
            credential=credential,
            organization=self.organization,
            plain_http=self.plain_http,
        )

    def trust(self) -> None:
        """Trust the authorities of the option or the context in this process.

        Raises:
            Failure: the file holds none.
        """
        if self.ca_file is None and self.context is not None and self.context.ca_file is not None:
            trust(Path(self.context.ca_file), f"The CA file of the context {self.name}")
        else:
            trust(self.ca_file)


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "context": (ContextOption, None),
    "server": (ServerOption, None),
    "organization": (OrganizationOption, None),
    "ca_file": (ServiceCaFileOption, None),
    "plain_http": (PlainHttpOption, False),
}


def given(ctx: typer.Context) -> Service:
    """Return the service that a command line means that is only half typed."""
    return Service(**{name: ctx.params.get(name, default) for name, (_, default) in _OPTIONS.items()})


def on_service(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which service is meant; it gets them as its parameter `service`."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        one.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, one in inspect.signature(command).parameters.items()
        if name != "service"
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
        for name, (option, default) in _OPTIONS.items()
    ]

    @wraps(command)
    def run(**arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in _OPTIONS}
        command(service=Service(**options), **arguments)

    vars(run)["__signature__"] = inspect.Signature([*own, *added])
    run.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
    return run
