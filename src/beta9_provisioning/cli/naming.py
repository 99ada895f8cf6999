"""Which environment is meant: an ID or a name as an argument, and their completion in a shell."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beta9_provisioning.cli.output import DEFAULT_SERVER, SERVER_VARIABLE, ExitCode, Failure, trust

if TYPE_CHECKING:
    from beta9_provisioning.client import Client

# No name has an underscore, so that IDs and names cannot be taken for each other.
_ID_MARK = "env_"
# What a shell may be given; a server's text must not reach it unseen.
_WORD = re.compile(r"[a-z0-9_-]+")
# Somebody waits with a finger on the key.
_COMPLETION_SECONDS = 2.0
_COMPLETIONS = 100


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


def _complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return IDs and names that begin so, live ones only; nothing when the service does not answer."""
    from beta9_provisioning.client import Client, ClientError  # noqa: PLC0415

    server = ctx.params.get("server") or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
    try:
        trust(ctx.params.get("ca_file"))
        with Client(str(server), timeout=_COMPLETION_SECONDS, attempts=1) as client:
            live = list(client.list(live=True, limit=_COMPLETIONS))
    except (ClientError, Failure):
        return []
    words: list[tuple[str, str]] = []
    for item in live:
        words += [(item.name, f"{item.status} {item.environment_id}")]
        words += [(item.environment_id, f"{item.status} {item.name}")]
    return [(word, told) for word, told in words if word.startswith(incomplete) and _WORD.fullmatch(word)]


def _named(help_: str) -> Any:
    return typer.Argument(metavar="ID|NAME", help=help_, autocompletion=_complete)


EnvironmentArgument = Annotated[
    str, _named("The environment's ID, such as env_5m3k7q2w9x4c8v6b, or its name.")
]
