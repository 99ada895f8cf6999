"""Commands that run the service, and `token`, which kubectl calls."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from beta9_provisioning.cli.output import CaFileOption, Output, OutputOption, trust
from beta9_provisioning.cli.terminal import write_json, write_text

_PACKAGE = "beta9_provisioning"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    database = typer.Typer(no_args_is_help=True, help="The service's database.")
    database.command("init", epilog="Example: beta9-provisioning db init")(init_database)
    database.command("prune", epilog="Example: beta9-provisioning db prune --older-than 90")(prune_database)
    app.command("bootstrap", epilog="Example: beta9-provisioning bootstrap --name anna")(bootstrap)
    app.command("backup", epilog="Example: beta9-provisioning backup monday.backup")(backup)
    app.command("restore", epilog="Example: beta9-provisioning restore monday.backup")(restore)
    app.command("api", epilog="Example: API_PORT=8080 beta9-provisioning api")(run_api)
    app.command("worker", epilog="Example: LOG_FORMAT=console beta9-provisioning worker")(run_worker)
    app.add_typer(database, name="db", epilog="Example: beta9-provisioning db init")
    app.command(
        "token", epilog="Example: beta9-provisioning token --cluster demo --region us-east-1 --role-arn ARN"
    )(token)
    app.command("version", epilog="Example: beta9-provisioning version -o json")(version)


def run_api() -> None:
    """Run the REST API; its settings come from the environment or .env."""
    become("api")


def run_worker() -> None:
    """Run a worker; its settings come from the environment or .env."""
    become("worker")


def init_database() -> None:
    """Create or upgrade the tables in DATABASE_URL; running it again does nothing."""
    become("operations.records.migrate")


def prune_database(
    older_than: Annotated[
        int | None, typer.Option(metavar="DAYS", min=1, help="Age of what is deleted; EVENT_RETENTION_DAYS.")
    ] = None,
) -> None:
    """Delete the details of old events, and idempotency keys that count no more; summaries stay."""
    become("operations.records.prune", *([] if older_than is None else [f"--older-than={older_than}"]))


def bootstrap(
    name: Annotated[
        str | None, typer.Option(help="Of the platform admin: 'admin'; with --again, the first one.")
    ] = None,
    expires_in_days: Annotated[
        int, typer.Option(min=0, max=3650, metavar="DAYS", help="Life of the key; 0 for ever.")
    ] = 90,
    again: Annotated[
        bool, typer.Option("--again", help="Every key is lost: make another one of a platform admin.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the first platform admin in DATABASE_URL, and print its API key, once.

    It belongs to the first organization. The key alone is on standard output.
    """
    become(
        "access.first_admin",
        f"--expires-in-days={expires_in_days}",
        *([] if name is None else [f"--name={name}"]),
        *(["--again"] if again else []),
        *(["--output=json"] if output is Output.JSON else []),
    )


def backup(
    file: Annotated[
        str | None, typer.Argument(help="Where to write it; - is standard output. Default: named after now.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write all of the database in DATABASE_URL into a file, as it is at one moment.

    It needs pg_dump of the server's major version, on PATH or in PG_BIN. BACKUP_RECIPIENTS encrypts it.
    """
    become("operations.records.backups.backup", *(["--force"] if force else []), *_operands(file))


def restore(file: Annotated[str, typer.Argument(help="What `backup` wrote.")]) -> None:
    """Read a backup into the database in DATABASE_URL, which must be empty.

    Stop all workers first, those of the lost database, too. It needs pg_restore of the server's major
    version, on PATH or in PG_BIN; an encrypted backup needs BACKUP_IDENTITY_FILE.
    """
    become("operations.records.backups.restore", *_operands(file))


def token(
    cluster: Annotated[str, typer.Option(metavar="NAME", help="The EKS cluster.")],
    region: Annotated[str, typer.Option(help="The cluster's AWS region.")],
    role_arn: Annotated[str, typer.Option(metavar="ARN", help="Role to assume; the cluster must know it.")],
    external_id: Annotated[
        str | None, typer.Option(metavar="ID", help="External ID that the role's trust policy demands.")
    ] = None,
    ca_file: CaFileOption = None,
) -> None:
    """Print a token for an EKS cluster, as kubectl asks for it (ExecCredential).

    The kubeconfig of `env kubeconfig` calls this. Your AWS credentials must be allowed to assume the role.
    """
    from beta9_provisioning.clouds.registry import CLOUDS  # noqa: PLC0415
    from beta9_provisioning.schemas.configuration import Provider  # noqa: PLC0415

    trust(ca_file)
    credential = CLOUDS[Provider.AWS].user_credential(
        cluster=cluster, region=region, principal=role_arn, external_id=external_id
    )
    write_json(credential)


def version(output: OutputOption = Output.TABLE) -> None:
    """Print the version of this program."""
    from importlib.metadata import version as installed_version  # noqa: PLC0415

    number = installed_version("beta9-provisioning")
    if output is Output.JSON:
        write_json({"version": number})
    else:
        write_text(number)


def _operands(file: str | None) -> list[str]:
    return [] if file is None else ["--", file]


def become(module: str, *arguments: str) -> None:
    """Replace this process, so that signals reach the service itself."""
    os.execv(sys.executable, [sys.executable, "-m", f"{_PACKAGE}.{module}", *arguments])  # noqa: S606
