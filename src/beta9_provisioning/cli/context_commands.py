"""Commands on contexts: the services that somebody works with, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beta9_provisioning.cli.confirming import confirm
from beta9_provisioning.cli.output import (
    ExitCode,
    Failure,
    NamedOutput,
    NamedOutputOption,
    QuietOption,
    YesOption,
    show_named,
)
from beta9_provisioning.cli.target import ContextName
from beta9_provisioning.cli.terminal import stderr

_EXAMPLE = "Example: beta9-provisioning context "
app = typer.Typer(
    no_args_is_help=True,
    help="Work with several services: name them, and choose the current one.",
    epilog=_EXAMPLE + "list",
)


@app.command("list", epilog=_EXAMPLE + "list -o json")
def list_(output: NamedOutputOption = NamedOutput.TABLE, quiet: QuietOption = False) -> None:
    """List contexts; the current one has a mark."""
    from beta9_provisioning.cli.access_views import ContextsView  # noqa: PLC0415
    from beta9_provisioning.cli.contexts import load  # noqa: PLC0415

    show_named(ContextsView(load()), NamedOutput.NAME if quiet else output)


@app.command(epilog=_EXAMPLE + "create production --server https://provisioning.example.com")
def create(
    *,
    name: Annotated[str, typer.Argument(help="Its name, as you like it.")],
    server: Annotated[str, typer.Option("--server", metavar="URL", help="Where the service is.")],
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="ID", help="Organization to act in.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificates (PEM) of authorities to trust.")
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Send the credential over unencrypted HTTP, too.")
    ] = False,
) -> None:
    """Name a service. The first context becomes the current one."""
    from beta9_provisioning.cli.contexts import Context, changing, check_name, check_server  # noqa: PLC0415

    check_name(name)
    check_server(server)
    with changing() as known:
        if name in known.contexts:
            raise Failure(
                f"There is a context {name} already. Take another name, or delete it: "
                f"beta9-provisioning context delete {name}",
                ExitCode.USAGE,
            )
        known.contexts[name] = Context(
            server=server,
            organization=organization,
            ca_file=str(ca_file.absolute()) if ca_file else None,
            plain_http=plain_http,
        )
        known.current = known.current or name


@app.command(epilog=_EXAMPLE + "use production")
def use(name: ContextName) -> None:
    """Make a context the current one."""
    from beta9_provisioning.cli.contexts import changing  # noqa: PLC0415

    with changing() as known:
        known.get(name)
        known.current = name


@app.command(epilog=_EXAMPLE + "delete production --yes")
def delete(name: ContextName, yes: YesOption = False) -> None:
    """Forget a context and its credential. Nothing changes at the service."""
    from beta9_provisioning.cli.contexts import changing, load  # noqa: PLC0415
    from beta9_provisioning.cli.logins import remove  # noqa: PLC0415

    place = load().get(name).login
    if place is not None and not yes:
        confirm(f"the context {name}", "with its credential")
    if place is not None:
        remove(name, place)
    with changing() as known:
        known.contexts.pop(name, None)
        if known.current == name:
            known.current = None
            stderr().print("There is no current context now. Choose one: beta9-provisioning context use NAME")
