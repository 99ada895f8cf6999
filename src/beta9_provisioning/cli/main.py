"""The command line `beta9-provisioning`."""

import sys
from typing import Annotated

import typer

from beta9_provisioning.cli import (
    audit_commands,
    auth,
    context_commands,
    environments,
    key_commands,
    local,
    member_commands,
    organization_commands,
    service,
)
from beta9_provisioning.cli.errors import CommandGroup
from beta9_provisioning.cli.output import ExitCode
from beta9_provisioning.cli.terminal import cannot_write, prepare

app = typer.Typer(
    name="beta9-provisioning",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    # A traceback with local variables would print settings, which hold passwords.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: beta9-provisioning env create -f example-config.yaml --watch",
    help="""Create, watch and destroy complete Beta9 environments.

    \b
    Exit codes:
      0    done
      1    failure, that of an environment included
      2    wrong usage
      3    not found
      4    refused by the service
      5    the service cannot be reached
      130  interrupted
    """,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        service.version()
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app.add_typer(environments.app, name="env")
app.add_typer(auth.app, name="auth")
app.add_typer(context_commands.app, name="context")
app.add_typer(key_commands.app, name="key")
app.add_typer(organization_commands.app, name="org")
app.add_typer(member_commands.app, name="member")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(local.app, name="local")
service.register(app)


def main() -> None:
    """Run the command line and exit."""
    prepare()
    try:
        app(prog_name="beta9-provisioning")
    except OSError as error:  # before a command was found: a help text, for example
        print(cannot_write(error), file=sys.stderr)
        sys.exit(ExitCode.FAILURE)
