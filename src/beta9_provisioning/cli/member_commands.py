"""Commands on the members of an organization."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import typer

from beta9_provisioning.cli.confirming import confirm
from beta9_provisioning.cli.naming import completing
from beta9_provisioning.cli.output import (
    LimitOption,
    NamedOutput,
    NamedOutputOption,
    QuietOption,
    YesOption,
    show_named,
    tell_cut,
)
from beta9_provisioning.cli.target import Service, on_service

# As `schemas/callers.py` has them; a test compares. Its import would slow down every command.
Role = Literal["viewer", "operator", "admin", "platform_admin"]
Kind = Literal["user", "service_account"]
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
RoleOption = Annotated[
    Role, typer.Option("--role", metavar="ROLE", help=f"What they may do: {', '.join(get_args(Role))}.")
]


@app.command(epilog=_EXAMPLE + "add alice@example.com --role operator --subject 00u1a2b3")
@on_service
def add(
    *,
    name: Annotated[str, typer.Argument(help="Unique in the organization, such as an e-mail address.")],
    role: RoleOption = "viewer",
    kind: Annotated[Kind, typer.Option(help="Who it is.")] = "user",
    subject: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Who it is to the OIDC issuer. Without it only keys let in."),
    ] = None,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Add a user or a service account to the organization."""
    from beta9_provisioning.cli.access_views import ItemView  # noqa: PLC0415

    with service.client() as client:
        added = client.access.add_member(name, kind=kind, role=role, subject=subject)
    show_named(ItemView(added), NamedOutput.NAME if quiet else output)


@app.command("list", epilog=_EXAMPLE + "list -o json")
@on_service
def list_(
    *,
    limit: LimitOption = 100,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """List the members of the organization, newest first."""
    from beta9_provisioning.cli.access_views import members_view  # noqa: PLC0415

    with service.client() as client:
        found = list(client.access.members(limit=limit + 1))
    show_named(members_view(found[:limit]), NamedOutput.NAME if quiet else output)
    tell_cut(len(found), limit, "members: the newest")


@app.command(epilog=_EXAMPLE + "update mem_5m3k7q2w9x4c8v6b --role admin")
@on_service
def update(
    *,
    member: MemberArgument,
    role: RoleOption,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Give a member another role; it counts at once, for their keys, too."""
    from beta9_provisioning.cli.access_views import ItemView  # noqa: PLC0415

    with service.client() as client:
        changed = client.access.update_member(member, role=role)
    show_named(ItemView(changed), NamedOutput.NAME if quiet else output)


@app.command(epilog=_EXAMPLE + "remove mem_5m3k7q2w9x4c8v6b --yes")
@on_service
def remove(
    *,
    member: MemberArgument,
    yes: YesOption = False,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Remove a member; their keys count no more."""
    from beta9_provisioning.cli.access_views import GoneView  # noqa: PLC0415

    if not yes:
        confirm(member, "with all their keys", verb="Remove")
    with service.client() as client:
        client.access.remove_member(member)
    show_named(GoneView(member, "is removed"), NamedOutput.NAME if quiet else output)
