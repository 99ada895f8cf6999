"""Commands about the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beta9_provisioning.cli.output import Output, OutputOption
from beta9_provisioning.cli.service import become

app = typer.Typer(
    no_args_is_help=True,
    help="The audit log: who did what.",
    epilog="Example: beta9-provisioning audit verify --public-key audit.pub",
)


@app.command(epilog="Example: beta9-provisioning audit verify --public-key audit.pub --heads worker.log")
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
