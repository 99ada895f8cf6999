"""How an error ends a command: what is printed, and the exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from beta9_provisioning.cli.output import ExitCode, Failure
from beta9_provisioning.cli.terminal import cannot_write, stderr, write_json


@dataclass(frozen=True)
class _Told:
    """What to tell about an error: lines for people, and what machines get besides the first of them."""

    lines: Sequence[str]
    code: ExitCode
    document: dict[str, object] = field(default_factory=dict)


class CommandGroup(TyperGroup):
    """The outermost group: turns expected errors of any command into a message and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether the command is asked for JSON: it may fail before it has read that itself."""
        ctx.meta[__name__] = _wants_json(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: it failed in a way that is known; a defect is raised as it is.
        """
        as_json = bool(ctx.meta.get(__name__))
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except Exception as error:
            told = _explain(error, as_json=as_json)
            if told is None:
                raise
            _tell(told, as_json=as_json)
            raise typer.Exit(told.code) from error


def _wants_json(args: Sequence[str]) -> bool:
    return any(
        one in ("-ojson", "-o=json", "--output=json")
        or (one in ("-o", "--output") and args[place + 1 : place + 2] == ["json"])
        for place, one in enumerate(args)
    )


def _tell(told: _Told, *, as_json: bool) -> None:
    if as_json:
        document = {"message": told.lines[0], "exit_code": int(told.code), **told.document}
        write_json({"error": document}, stream=sys.stderr)
        return
    console = stderr()
    for line in told.lines:
        console.print(line, markup=False, soft_wrap=True)


def _explain(error: Exception, *, as_json: bool) -> _Told | None:
    if isinstance(error, Failure):
        return _Told([str(error)], error.code)
    if isinstance(error, TyperException) and as_json:  # people get it from Typer, with the usage
        return _Told([_usage_message(error)], ExitCode.USAGE)
    if isinstance(error, OSError) and error.errno != errno.EPIPE:  # a reader that has gone is no error
        return _Told([cannot_write(error)], ExitCode.FAILURE)
    return _explain_service(error)


def _explain_service(error: Exception) -> _Told | None:
    # Imported only now: most commands end well, and completion must be fast.
    from beta9_provisioning.client import (  # noqa: PLC0415
        ApiProblem,
        CertificatesMissing,
        CertificateUntrusted,
        CredentialUnfit,
        LoginEnded,
        Unreachable,
    )
    from beta9_provisioning.engine.errors import EngineError  # noqa: PLC0415

    codes: dict[type[Exception], ExitCode] = {
        CertificatesMissing: ExitCode.USAGE,
        CredentialUnfit: ExitCode.USAGE,
        LoginEnded: ExitCode.REFUSED,
        Unreachable: ExitCode.UNREACHABLE,
    }
    document: dict[str, object] = {}
    if isinstance(error, CertificateUntrusted):
        document["code"] = error.code
    for kind, code in codes.items():
        if isinstance(error, kind):
            return _Told([str(error)], code, document)
    if isinstance(error, ApiProblem):
        told: dict[str, object] = {"problem": error.problem.model_dump(mode="json"), **_remedy(error)}
        told["request_id"] = error.request_id
        return _Told(_problem_lines(error), _code_of(error.status), told)
    if isinstance(error, EngineError):
        lines = [part for part in (error.message, error.detail, error.remedy) if part]
        document = {"code": error.code, "detail": error.detail, "remedy": error.remedy}
        return _Told(lines, ExitCode.FAILURE, document)
    return None


def _usage_message(error: Any) -> str:
    return str(error.format_message())


def _problem_lines(error: Any) -> list[str]:
    lines = [str(error)]
    for item in error.problem.errors:
        allowed = f" (allowed: {', '.join(item.allowed)})" if item.allowed else ""
        lines.append(f"  {item.field}: {item.message}{allowed}")
    lines += _remedy(error).values()
    if error.request_id and error.status >= 500:
        lines.append(f"  The service's log knows this request as {error.request_id}.")
    return lines


def _remedy(error: Any) -> dict[str, str]:
    """Return what to do about a refusal, where the problem itself cannot know it."""
    remedies = {
        401: "Log in: beta9-provisioning auth login. Or set BETA9_API_KEY.",
        403: "Who you are here, and what you may do: beta9-provisioning auth status",
    }
    if error.status == 429 and error.retry_after:
        remedies[429] = f"Try again in {error.retry_after:.0f} s."
    return {"remedy": remedies[error.status]} if error.status in remedies else {}


def _code_of(status: int) -> ExitCode:
    if status == 404:
        return ExitCode.NOT_FOUND
    return ExitCode.REFUSED if 400 <= status < 500 else ExitCode.FAILURE
