"""What all commands share: options, exit codes, consoles, and how a view is shown."""

from __future__ import annotations

import json
import os
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDTH_OF_A_FILE = 160
DEFAULT_SERVER = "http://localhost:8000"


class ExitCode(IntEnum):
    """Exit codes of every command, for scripts; `--help` lists them."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


class Output(StrEnum):
    """How results are written to stdout."""

    TABLE = "table"
    JSON = "json"


ServerOption = Annotated[
    str,
    typer.Option("--server", envvar="BETA9_PROVISIONING_URL", metavar="URL", help="Where the service is."),
]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="json is for scripts: stdout then holds nothing else.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The environment's ID, such as env_5m3k….")]


class View(Protocol):
    """One thing to show, in two renderings."""

    def rich(self) -> RenderableType:
        """Return it for people."""

    def json(self) -> object:
        """Return it for machines; only additions are made to this format."""


class Failure(Exception):
    """A command cannot go on; the message says why and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.code = code


def stdout() -> Console:
    """Return the console of results."""
    return _console(stderr=False)


def stderr() -> Console:
    """Return the console of everything that is not a result."""
    return _console(stderr=True)


def show(view: View, output: Output) -> None:
    """Write the view to stdout."""
    if output is Output.JSON:
        write_json(view.json(), indent=2)
    else:
        stdout().print(view.rich())


def write_json(value: object, *, indent: int | None = None) -> None:
    """Write JSON to stdout at once, unchanged by colours or wrapping."""
    print(json.dumps(value, indent=indent, ensure_ascii=False), flush=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console  # noqa: PLC0415  help texts and completion do without

    console = Console(stderr=stderr, highlight=False)
    # Rich takes 80 columns for a pipe, which would break long values for no reader.
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_FILE
    return console
