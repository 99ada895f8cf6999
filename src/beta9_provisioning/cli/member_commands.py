"""Commands on the members of an organization."""

from __future__ import annotations

from typing import Annotated

import typer

from beta9_provisioning.cli.confirming import confirm
from beta9_provisioning.cli.naming import completing
from beta9_provisioning.cli.output import NamedOutput, NamedOutputOption, QuietOption, YesOption, show_named
from beta9_provisioning.cli.target import Service, on_service

_EXAMPLE = "Example: beta9-provisioning member "
app = typer.Typer(
    no_args_is_help=True,
    help="Users and service accounts of your organization, and their roles.",
    epilog=_EXAMPLE + "add alice@example.com --role operator",
)
MemberArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The member's ID, such as mem_5m3k7q2w9x4c8v6b.",
        autocompletion=completing(
            lambda client: [(one.id, f"{one.name} {one.role}") for one in client.access.members(limit=100)]
        ),
    ),
]
