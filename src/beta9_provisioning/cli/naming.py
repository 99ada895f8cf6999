"""Which environment is meant: an ID or a name as an argument, and their completion in a shell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from beta9_provisioning.cli.output import ExitCode, Failure
from beta9_provisioning.cli.target import given

if TYPE_CHECKING:
    from beta9_provisioning.client import Client

# No name has an underscore, so that IDs and names cannot be taken for each other.
_ID_MARK = "env_"
# What a shell may be given; a server's text must not reach it unseen.
_WORD = re.compile(r"[a-z0-9_-]+")
# Somebody waits with a finger on the key.
_COMPLETION_SECONDS = 2.0
_COMPLETIONS = 100
T = TypeVar("T")


def environment_id(client: Client, text: str) -> str:
    """Return the ID of the environment that is called so; an ID is returned as it is, known or not.

    Of environments that had the name one after the other it is the last, which is the live one if any is.

    Raises:
        Failure: no environment has or had this name.
    """
    from beta9_provisioning.client import ApiProblem  # noqa: PLC0415

    if text.startswith(_ID_MARK):
        return text
    try:
        found = next(iter(client.list(name=text, limit=1)), None)
    except ApiProblem as error:
        if error.status != 422:
            raise
        found = None  # it cannot be a name
    if found is None:
        raise Failure(
            f"There is no environment {text!r}. See all with: beta9-provisioning env list --all",
            ExitCode.NOT_FOUND,
        )
    return found.environment_id


def _asked(ctx: typer.Context, ask: Callable[[Client], Iterable[T]]) -> list[T]:
    """Return what the service says that is meant; nothing when it does not answer at once."""
    from beta9_provisioning.client import ClientError  # noqa: PLC0415

    try:
        with given(ctx).client(timeout=_COMPLETION_SECONDS, attempts=1) as client:
            return list(ask(client))
    except (ClientError, Failure, OSError):
        return []


def _complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return IDs and names that begin so, live ones only; nothing when the service does not answer."""
    live = _asked(ctx, lambda client: client.list(live=True, limit=_COMPLETIONS))
    words: list[tuple[str, str]] = []
    for item in live:
        words += [(item.name, f"{item.status} {item.environment_id}")]
        words += [(item.environment_id, f"{item.status} {item.name}")]
    return _fitting(words, incomplete)


def completing(list_: Callable[[Client], Iterable[tuple[str, str]]]) -> Any:
    """Return the completion of an argument by IDs of the service, each with what tells it apart."""

    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        return _fitting(_asked(ctx, list_), incomplete)

    return complete


def _fitting(words: Iterable[tuple[str, str]], incomplete: str) -> list[tuple[str, str]]:
    """Return the words with their meanings that begin so, and that a shell may be given."""
    return [(word, told) for word, told in words if word.startswith(incomplete) and _WORD.fullmatch(word)]


def _named(help_: str) -> Any:
    return typer.Argument(metavar="ID|NAME", help=help_, autocompletion=_complete)


EnvironmentArgument = Annotated[
    str, _named("The environment's ID, such as env_5m3k7q2w9x4c8v6b, or its name.")
]
