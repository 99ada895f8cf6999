"""Commands on environments; they speak HTTP only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beta9_provisioning.cli.output import (
    DEFAULT_SERVER,
    ExitCode,
    Failure,
    IdArgument,
    Output,
    OutputOption,
    ServerOption,
    show,
    stderr,
    stdout,
    write_json,
)
from beta9_provisioning.lifecycle import EnvironmentStatus

if TYPE_CHECKING:
    from beta9_provisioning.client import ApiProblem, Client
    from beta9_provisioning.schemas.environment import Environment

app = typer.Typer(
    no_args_is_help=True,
    help="Create, look at and delete environments.",
    epilog="Example: beta9-provisioning env list --status ready",
)
_EXAMPLE = "Example: beta9-provisioning env "


@app.command(epilog=_EXAMPLE + "create -f example-config.yaml --watch")
def create(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Configuration, YAML or JSON; - reads stdin.")
    ],
    watch_it: Annotated[
        bool, typer.Option("--watch", "-w", help="Show its progress and wait until it is ready.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The same key again gets the same environment, not a second one."),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create an environment from a configuration."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    text = _read(file)
    content_type = "application/json" if file.endswith(".json") else "application/yaml"
    with _service(server) as client:
        environment = client.create(text, content_type=content_type, idempotency_key=idempotency_key)
        if not watch_it:
            show(EnvironmentView(environment), output)
            return
        _follow_to_end(client, environment, output, goal=EnvironmentStatus.READY)


@app.command("list", epilog=_EXAMPLE + "list --status ready")
def list_(
    status: Annotated[EnvironmentStatus | None, typer.Option(help="Only those with this status.")] = None,
    name: Annotated[str | None, typer.Option(help="Only those with this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """List environments, newest first."""
    from beta9_provisioning.cli.views import EnvironmentListView  # noqa: PLC0415

    with _service(server) as client:
        found = list(client.list(status=status, name=name, limit=limit))
    show(EnvironmentListView(found), output)


@app.command(epilog=_EXAMPLE + "get env_5m3k7q2w9x4c8v6b -o json")
def get(
    environment_id: IdArgument, server: ServerOption = DEFAULT_SERVER, output: OutputOption = Output.TABLE
) -> None:
    """Show an environment: status, progress, error, outputs."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    with _service(server, environment_id) as client:
        show(EnvironmentView(client.get(environment_id)), output)


@app.command(epilog=_EXAMPLE + "watch env_5m3k7q2w9x4c8v6b")
def watch(
    environment_id: IdArgument, server: ServerOption = DEFAULT_SERVER, output: OutputOption = Output.TABLE
) -> None:
    """Show the progress of an environment's latest operation until it ends.

    With -o json, one event a line. Exits with 0 when the environment is ready or destroyed, otherwise with 1.
    """
    from beta9_provisioning.cli.watch import JsonLines, progress_on, watch_operation  # noqa: PLC0415

    with _service(server, environment_id) as client:
        environment = client.get(environment_id)
        display = JsonLines() if output is Output.JSON else progress_on(stdout(), environment)
        final = watch_operation(client, environment, display)
    if final.status not in (EnvironmentStatus.READY, EnvironmentStatus.DESTROYED):
        raise typer.Exit(ExitCode.FAILURE)


@app.command(epilog=_EXAMPLE + "events env_5m3k7q2w9x4c8v6b --follow")
def events(
    environment_id: IdArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Go on live until no operation runs.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, oldest first.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show an environment's history. With --follow, -o json writes one event a line instead of a list."""
    from beta9_provisioning.cli.views import EventsView, EventView  # noqa: PLC0415

    with _service(server, environment_id) as client:
        if not follow:
            show(EventsView(list(islice(client.events(environment_id), limit))), output)
            return
        for event in islice(client.watch(environment_id), limit):
            if output is Output.JSON:
                write_json(EventView(event).json())
            else:
                stdout().print(EventView(event).rich())


@app.command(epilog=_EXAMPLE + "outputs env_5m3k7q2w9x4c8v6b cluster_name")
def outputs(
    environment_id: IdArgument,
    name: Annotated[str | None, typer.Argument(help="Print only this one, bare.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what an environment's creation resulted in: addresses and names, no secrets."""
    from beta9_provisioning.cli.views import OutputsView, value_text  # noqa: PLC0415

    with _service(server, environment_id) as client:
        found = client.get(environment_id)
    if name is None:
        show(OutputsView(found.outputs), output)
    elif name not in found.outputs:
        known = ", ".join(sorted(found.outputs)) or f"none yet, it is {found.status}"
        raise Failure(f"{environment_id} has no output {name!r}; there are: {known}.", ExitCode.NOT_FOUND)
    elif output is Output.JSON:
        write_json(found.outputs[name])
    else:
        print(value_text(found.outputs[name]))


@app.command(epilog=_EXAMPLE + "kubeconfig env_5m3k7q2w9x4c8v6b > demo.kubeconfig")
def kubeconfig(
    environment_id: IdArgument, server: ServerOption = DEFAULT_SERVER, output: OutputOption = Output.TABLE
) -> None:
    """Print a kubeconfig for an environment's cluster, YAML or JSON. It holds no secret."""
    with _service(server, environment_id) as client:
        text = client.kubeconfig(environment_id)
    if output is Output.JSON:
        from ruamel.yaml import YAML  # noqa: PLC0415

        write_json(YAML(typ="safe", pure=True).load(text), indent=2)
    else:
        print(text, end="" if text.endswith("\n") else "\n")


@app.command(epilog=_EXAMPLE + "update env_5m3k7q2w9x4c8v6b --no-deletion-protection")
def update(
    environment_id: IdArgument,
    deletion_protection: Annotated[
        bool, typer.Option(help="Whether the environment must not be deleted.", show_default=False)
    ],
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Turn an environment's deletion protection on or off."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    with _service(server, environment_id) as client:
        found = client.protect(environment_id, deletion_protection=deletion_protection)
    show(EnvironmentView(found), output)


@app.command(epilog=_EXAMPLE + "delete env_5m3k7q2w9x4c8v6b --wait --yes")
def delete(
    environment_id: IdArgument,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Show progress; wait until it is gone.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete an environment with everything in it, data included."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    with _service(server, environment_id) as client:
        if not yes:
            _confirm(client.get(environment_id))
        environment = client.delete(environment_id)
        if not wait:
            show(EnvironmentView(environment), output)
            return
        _follow_to_end(client, environment, output, goal=EnvironmentStatus.DESTROYED)


def _follow_to_end(
    client: Client, environment: Environment, output: Output, *, goal: EnvironmentStatus
) -> None:
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415
    from beta9_provisioning.cli.watch import progress_on, watch_operation  # noqa: PLC0415

    console = stderr() if output is Output.JSON else stdout()
    final = watch_operation(client, environment, progress_on(console, environment))
    if output is Output.JSON:
        show(EnvironmentView(final), output)
    if final.status is not goal:
        raise typer.Exit(ExitCode.FAILURE)


def _confirm(environment: Environment) -> None:
    what = f"{environment.environment_id} ({environment.name}, {environment.region})"
    if not sys.stdin.isatty():
        raise Failure(
            f"Deleting {what} needs a yes, and there is no terminal to ask on; add --yes.", ExitCode.USAGE
        )
    if not typer.confirm(f"Delete {what} with all its data?", err=True):
        raise Failure("Nothing was deleted.")


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.", ExitCode.USAGE) from error


@contextmanager
def _service(server: str, environment_id: str | None = None) -> Iterator[Client]:
    from beta9_provisioning.client import ApiProblem, Client  # noqa: PLC0415

    with Client(server) as client:
        try:
            yield client
        except ApiProblem as error:
            if error.status == 404 and environment_id is not None:
                raise _not_found(client, environment_id, error) from error
            raise


def _not_found(client: Client, text: str, error: ApiProblem) -> Exception:
    """People give the name where the ID is asked for; say which ID is meant."""
    from beta9_provisioning.client import ClientError  # noqa: PLC0415

    try:
        named = list(client.list(name=text, limit=5))
    except ClientError:  # the text cannot be a name
        return error
    if not named:
        return error
    ids = " or ".join(f"{item.environment_id} ({item.status})" for item in named)
    return Failure(f"{text} is a name; this command wants the ID: {ids}.", ExitCode.NOT_FOUND)
