"""Commands on environments; they speak HTTP only."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beta9_provisioning.cli.confirming import confirm
from beta9_provisioning.cli.naming import EnvironmentArgument, environment_id
from beta9_provisioning.cli.output import (
    ExitCode,
    Failure,
    LimitOption,
    NamedOutput,
    NamedOutputOption,
    Output,
    OutputOption,
    QuietOption,
    YesOption,
    show,
    show_named,
    tell_cut,
)
from beta9_provisioning.cli.target import Service, on_service
from beta9_provisioning.cli.terminal import stderr, stdout, write_json, write_text
from beta9_provisioning.lifecycle import EnvironmentStatus

if TYPE_CHECKING:
    from beta9_provisioning.client import Client
    from beta9_provisioning.schemas.environment import Environment

app = typer.Typer(
    no_args_is_help=True,
    help="Create, look at and delete environments.",
    epilog="Example: beta9-provisioning env list --status ready",
)
# What a client waits for one answer.
_ANSWER_SECONDS = 15.0
_EXAMPLE = "Example: beta9-provisioning env "


@app.command(epilog=_EXAMPLE + "create -f example-config.yaml --watch")
@on_service
def create(
    *,
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
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Create an environment from a configuration."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    output = NamedOutput.NAME if quiet else output
    text = _read(file)
    content_type = "application/json" if file.endswith(".json") else "application/yaml"
    with service.client() as client:
        environment = client.create(text, content_type=content_type, idempotency_key=idempotency_key)
        if not watch_it:
            show_named(EnvironmentView(environment), output)
            return
        _follow_to_end(client, environment, output, goal=EnvironmentStatus.READY)


@app.command("list", epilog=_EXAMPLE + "list --status ready")
@on_service
def list_(
    *,
    status: Annotated[
        EnvironmentStatus | None,
        typer.Option(metavar="STATUS", help=f"Only those with this status: {', '.join(EnvironmentStatus)}."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only those with this name.")] = None,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Destroyed ones, too.")] = False,
    limit: LimitOption = 100,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """List environments that are not destroyed, newest first."""
    from beta9_provisioning.cli.views import EnvironmentListView  # noqa: PLC0415

    with service.client() as client:
        # One more than is shown, to know whether there are more.
        found = list(client.list(status=status, name=name, live=not all_, limit=limit + 1))
    show_named(EnvironmentListView(found[:limit]), NamedOutput.NAME if quiet else output)
    tell_cut(len(found), limit, "environments: the newest")


@app.command(epilog=_EXAMPLE + "get demo -o json")
@on_service
def get(
    environment: EnvironmentArgument,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Show an environment: status, progress, error, outputs."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    with service.client() as client:
        found = client.get(environment_id(client, environment))
    show_named(EnvironmentView(found), NamedOutput.NAME if quiet else output)


@app.command(epilog=_EXAMPLE + "watch demo")
@on_service
def watch(
    environment: EnvironmentArgument,
    service: Service,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the progress of an environment's latest operation until it ends.

    With -o json, one event a line. Exits with 0 when the environment is ready or destroyed, otherwise with 1.
    """
    from beta9_provisioning.cli.watch import JsonLines, progress_on, watch_operation  # noqa: PLC0415

    with service.client() as client:
        found = client.get(environment_id(client, environment))
        display = JsonLines() if output is Output.JSON else progress_on(stdout(), found)
        final = watch_operation(client, found, display)
    if final.status not in (EnvironmentStatus.READY, EnvironmentStatus.DESTROYED):
        raise typer.Exit(ExitCode.FAILURE)


@app.command(epilog=_EXAMPLE + "wait demo --for ready --timeout 30m")
@on_service
def wait(
    *,
    environment: EnvironmentArgument,
    goal: Annotated[
        EnvironmentStatus, typer.Option("--for", metavar="STATUS", help="Such as ready or destroyed.")
    ],
    timeout: Annotated[str, typer.Option(metavar="TIME", help="At most so long: 30m, 90s, 1h30m.")] = "30m",
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Wait in silence until an environment has a status; for scripts.

    Exits with 1 when time is up, and as soon as nothing is going on that could lead there.
    """
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415
    from beta9_provisioning.cli.waiting import PATIENCE_SECONDS, patiently, seconds, wait_for  # noqa: PLC0415
    from beta9_provisioning.cli.watch import looking_for_workers, tell_of_workers  # noqa: PLC0415

    longest = seconds(timeout)
    with service.client(timeout=min(longest, _ANSWER_SECONDS), attempts=1) as client:
        found = patiently(
            lambda: client.get(environment_id(client, environment)), min(longest, PATIENCE_SECONDS)
        )
        with looking_for_workers(client, found, lambda lacking: tell_of_workers(stderr(), lacking)):
            reached = wait_for(client, found.environment_id, goal, longest)
    show_named(EnvironmentView(reached), NamedOutput.NAME if quiet else output)


@app.command(epilog=_EXAMPLE + "events demo --follow")
@on_service
def events(
    *,
    environment: EnvironmentArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Go on live until no operation runs.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, oldest first.")] = None,
    service: Service,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show an environment's history. With --follow, -o json writes one event a line instead of a list."""
    from beta9_provisioning.cli.views import EventsView, EventView  # noqa: PLC0415

    with service.client() as client:
        id_ = environment_id(client, environment)
        if not follow:
            found = list(islice(client.events(id_), None if limit is None else limit + 1))
            show(EventsView(found[:limit]), output)
            tell_cut(len(found), limit, "events: the oldest")
            return
        for event in islice(client.watch(id_), limit):
            if output is Output.JSON:
                write_json(EventView(event).json())
            else:
                stdout().print(EventView(event).rich())


@app.command(epilog=_EXAMPLE + "outputs demo cluster_name")
@on_service
def outputs(
    *,
    environment: EnvironmentArgument,
    name: Annotated[str | None, typer.Argument(help="Print only this one, bare.")] = None,
    service: Service,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what an environment's creation resulted in: addresses and names, no secrets."""
    from beta9_provisioning.cli.views import OutputsView, value_text  # noqa: PLC0415

    with service.client() as client:
        found = client.get(environment_id(client, environment))
    if name is None:
        show(OutputsView(found.outputs), output)
    elif name not in found.outputs:
        known = ", ".join(sorted(found.outputs)) or f"none yet, it is {found.status}"
        raise Failure(f"{environment} has no output {name!r}; there are: {known}.", ExitCode.NOT_FOUND)
    elif output is Output.JSON:
        write_json(found.outputs[name])
    else:
        write_text(value_text(found.outputs[name]))


@app.command(epilog=_EXAMPLE + "kubeconfig demo > demo.kubeconfig")
@on_service
def kubeconfig(
    environment: EnvironmentArgument,
    service: Service,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a kubeconfig for an environment's cluster, YAML or JSON. It holds no secret."""
    with service.client() as client:
        text = client.kubeconfig(environment_id(client, environment))
    if output is Output.JSON:
        from ruamel.yaml import YAML  # noqa: PLC0415

        write_json(YAML(typ="safe", pure=True).load(text), indent=2)
    else:
        write_text(text.removesuffix("\n"))


@app.command(epilog=_EXAMPLE + "update demo --no-deletion-protection")
@on_service
def update(
    *,
    environment: EnvironmentArgument,
    protect: Annotated[bool, typer.Option("--deletion-protection", help="Refuse to delete it.")] = False,
    release: Annotated[
        bool, typer.Option("--no-deletion-protection", help="Let it be deleted again.")
    ] = False,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Turn an environment's deletion protection on or off."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    if protect is release:
        raise typer.BadParameter("Give one of --deletion-protection and --no-deletion-protection.")
    with service.client() as client:
        found = client.protect(environment_id(client, environment), deletion_protection=protect)
    show_named(EnvironmentView(found), NamedOutput.NAME if quiet else output)


@app.command(epilog=_EXAMPLE + "delete demo --wait --yes")
@on_service
def delete(
    *,
    environment: EnvironmentArgument,
    wait_for_end: Annotated[
        bool, typer.Option("--wait", "-w", help="Show progress; wait until it is gone.")
    ] = False,
    delete_objects: Annotated[
        bool, typer.Option("--delete-objects", help="Delete its objects, too, where on_delete is refuse.")
    ] = False,
    yes: YesOption = False,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Delete an environment with everything in it, data included."""
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415

    output = NamedOutput.NAME if quiet else output
    with service.client() as client:
        id_ = environment_id(client, environment)
        if not yes:
            found = client.get(id_)
            confirm(f"{id_} ({found.name}, {found.region})", "with all its data")
        deleted = client.delete(id_, delete_objects=delete_objects)
        if not wait_for_end:
            show_named(EnvironmentView(deleted), output)
            return
        _follow_to_end(client, deleted, output, goal=EnvironmentStatus.DESTROYED)


def _follow_to_end(
    client: Client, environment: Environment, output: NamedOutput, *, goal: EnvironmentStatus
) -> None:
    from beta9_provisioning.cli.views import EnvironmentView  # noqa: PLC0415
    from beta9_provisioning.cli.watch import progress_on, watch_operation  # noqa: PLC0415

    console = stdout() if output is NamedOutput.TABLE else stderr()
    final = watch_operation(client, environment, progress_on(console, environment))
    if output is not NamedOutput.TABLE:
        show_named(EnvironmentView(final), output)
    if final.status is not goal:
        raise typer.Exit(ExitCode.FAILURE)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.", ExitCode.USAGE) from error
