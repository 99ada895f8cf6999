"""Asking before something is gone, and for what nobody else may read."""

import sys

from beta9_provisioning.cli.output import ExitCode, Failure
from beta9_provisioning.cli.terminal import stderr

_DONE = {
    "Delete": ("Deleting", "deleted"),
    "Remove": ("Removing", "removed"),
    "Revoke": ("Revoking", "revoked"),
}


def confirm(what: str, consequence: str, *, verb: str = "Delete") -> None:
    """Ask on the terminal; Ctrl-C there ends the command with 130, like everywhere.

    Raises:
        Failure: the answer is no, or there is nobody to ask.
    """
    doing, done = _DONE[verb]
    if not sys.stdin.isatty():
        raise Failure(
            f"{doing} {what} needs a yes, and there is no terminal to ask on; add --yes.", ExitCode.USAGE
        )
    from rich.prompt import Confirm  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    try:
        wanted = Confirm.ask(Text(f"{verb} {what} {consequence}?"), console=stderr(), default=False)
    except EOFError:
        stderr().print()
        wanted = False
    if not wanted:
        raise Failure(f"Nothing was {done}.")


def hidden(prompt: str) -> str:
    """Ask for something that is not shown while it is typed.

    Raises:
        Failure: there is no terminal to ask on.
    """
    from getpass import getpass  # noqa: PLC0415

    try:
        return getpass(f"{prompt}: ", stream=sys.stderr).strip()
    except EOFError:
        raise Failure("Nothing was entered.") from None
    except UnicodeDecodeError:  # it would quote what was entered
        raise Failure("What was entered is no text.", ExitCode.USAGE) from None
