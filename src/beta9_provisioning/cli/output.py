"""What all commands share: options, exit codes, and how a view is shown."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from beta9_provisioning.cli.terminal import stderr, stdout, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType


PLACES = {"keyring": "the system's keyring", "file": "a file that only you can read"}
"""Where credentials lie, in words."""


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


class NamedOutput(StrEnum):
    """The same of commands that result in environments."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


CaFileOption = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="Certificates (PEM) of authorities to trust; else SSL_CERT_FILE.",
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="json is for scripts; errors are JSON, too."),
]
NamedOutputOption = Annotated[
    NamedOutput,
    typer.Option(
        "--output",
        "-o",
        help="json is for scripts, errors are JSON, too; name writes IDs only.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Write IDs only, like -o name.")]


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LimitOption = Annotated[int, typer.Option(min=1, help="At most so many, newest first.")]


class View(Protocol):
    """One thing to show, in two renderings."""

    def rich(self) -> RenderableType:
        """Return it for people."""

    def json(self) -> object:
        """Return it for machines; only additions are made to this format."""


class NamedView(View, Protocol):
    """A view of things that have IDs."""

    def ids(self) -> Sequence[str]:
        """Return what other commands take for these things."""


class Failure(Exception):
    """A command cannot go on; the message says why and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.code = code


def trust(ca_file: Path | None, named_by: str = "--ca-file") -> None:
    """Trust the file of `--ca-file`, or of a context, whatever the variables say.

    Raises:
        Failure: it holds no certificate.
    """
    if ca_file is None:
        return
    from beta9_provisioning.kit import certificates  # noqa: PLC0415  loads ssl

    try:
        certificates.trust(ca_file, named_by)
    except certificates.CertificatesUnusable as error:
        raise Failure(str(error), ExitCode.USAGE) from error


def tell_cut(found: int, limit: int | None, what: str) -> None:
    """Say on stderr that there are more of `what` than were asked for."""
    if limit is not None and found > limit:
        stderr().print(f"There are more {what} {limit} are shown. Raise --limit to see them.", soft_wrap=True)


def show(view: View, output: Output) -> None:
    """Write the view to stdout."""
    if output is Output.JSON:
        write_json(view.json(), indent=2)
    else:
        stdout().print(view.rich())


def show_named(view: NamedView, output: NamedOutput) -> None:
    """Write the view to stdout; of its IDs one on a line."""
    if output is NamedOutput.NAME:
        for id_ in view.ids():
            write_text(id_)
    else:
        show(view, Output(output))
