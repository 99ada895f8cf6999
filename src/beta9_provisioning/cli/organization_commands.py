"""Commands on organizations; for administrators of the service."""

from __future__ import annotations

from typing import Annotated

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

_EXAMPLE = "Example: beta9-provisioning org "
app = typer.Typer(
    no_args_is_help=True,
    help="Organizations: they own environments, members and keys.",
    epilog=_EXAMPLE + "list",
)
OrganizationArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The organization's ID, such as org_5m3k7q2w9x4c8v6b.",
        autocompletion=completing(
            lambda client: [(one.id, one.name) for one in client.access.organizations(limit=100)]
        ),
    ),
]


@app.command(epilog=_EXAMPLE + "create acme")
@on_service
def create(
    *,
    name: Annotated[str, typer.Argument(help="Its name.")],
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Create an organization. Its members are added with: member add --organization ID."""
    from beta9_provisioning.cli.access_views import ItemView  # noqa: PLC0415

    with service.client() as client:
        created = client.access.create_organization(name)
    show_named(ItemView(created), NamedOutput.NAME if quiet else output)


@app.command("list", epilog=_EXAMPLE + "list -o json")
@on_service
def list_(
    *,
    limit: LimitOption = 100,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """List the organizations that you may see, newest first."""
    from beta9_provisioning.cli.access_views import organizations_view  # noqa: PLC0415

    with service.client() as client:
        found = list(client.access.organizations(limit=limit + 1))
    show_named(organizations_view(found[:limit]), NamedOutput.NAME if quiet else output)
    tell_cut(len(found), limit, "organizations: the newest")


@app.command(epilog=_EXAMPLE + "delete org_5m3k7q2w9x4c8v6b --yes")
@on_service
def delete(
    *,
    organization_id: OrganizationArgument,
    yes: YesOption = False,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Delete an organization that has no live environments, with its members and keys."""
    from beta9_provisioning.cli.access_views import GoneView  # noqa: PLC0415

    if not yes:
        confirm(organization_id, "with its members and keys")
    with service.client() as client:
        client.access.delete_organization(organization_id)
    show_named(GoneView(organization_id, "is deleted"), NamedOutput.NAME if quiet else output)
