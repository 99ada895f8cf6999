"""Commands on the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from beta9_provisioning.cli.output import LimitOption, Output, OutputOption, show, tell_cut
from beta9_provisioning.cli.service import become
from beta9_provisioning.cli.target import Service, on_service
from beta9_provisioning.cli.terminal import write_text

_EXAMPLE = "Example: beta9-provisioning audit "
app = typer.Typer(
    no_args_is_help=True,
    help="Who did what, and what was refused.",
    epilog=_EXAMPLE + "list --decision refused",
)


@app.command("list", epilog=_EXAMPLE + "list --since 2026-11-01T00:00:00Z --export > audit.ndjson")
@on_service
def list_(
    *,
    actor: Annotated[str | None, typer.Option(metavar="ID", help="Only what this member did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, such as environment.create.")] = None,
    object_id: Annotated[str | None, typer.Option("--object", metavar="ID", help="Only about this.")] = None,
    decision: Annotated[
        Literal["allowed", "refused"] | None, typer.Option(help="Only what was decided so.")
    ] = None,
    request_id: Annotated[str | None, typer.Option(metavar="ID", help="Only of this request.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before: 2026-11-01T00:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Not after.")] = None,
    limit: LimitOption = 100,
    export: Annotated[
        bool, typer.Option("--export", help="Write all that matches, one record (JSON) a line; no --limit.")
    ] = False,
    service: Service,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what was done and refused in the organization, newest first; for administrators."""
    from beta9_provisioning.cli.access_views import AuditView  # noqa: PLC0415

    filters: dict[str, str | None] = {
        "actor": actor,
        "action": action,
        "object_id": object_id,
        "decision": decision,
        "request_id": request_id,
        "since": since,
        "until": until,
    }
    with service.client() as client:
        if export:
            for line in client.access.export_audit(filters):
                write_text(line)
            return
        found = list(client.access.audit(filters, limit=limit + 1))
    show(AuditView(found[:limit]), output)
    tell_cut(len(found), limit, "records: the newest")


@app.command(epilog=_EXAMPLE + "verify --public-key audit.pub --heads worker.log")
def verify(
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="ID", help="Check this one's chain only.")
    ] = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--public-key", metavar="FILE", help="Public key (PEM) of signed heads; once for each key."
        ),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", metavar="FILE", help="Kept log of the workers: shows what was cut off, too."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check chains and signatures in DATABASE_URL; name the first record that is not as it was written."""
    options = [f"--public-key={path}" for path in public_key or []]
    if organization is not None:
        options.append(f"--organization={organization}")
    if heads is not None:
        options.append(f"--heads={heads}")
    become("audit.verify", f"--output={output}", *options)
