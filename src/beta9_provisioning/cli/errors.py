"""How an error ends a command: what is printed, and the exit code."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from beta9_provisioning.cli.output import ExitCode, Failure, stderr


class CommandGroup(TyperGroup):
    """The outermost group: turns expected errors of any command into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: it failed in a way that is known; a defect is raised as it is.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except Exception as error:
            known = _explain(error)
            if known is None:
                raise
            lines, code = known
            console = stderr()
            for line in lines:
                console.print(line, markup=False, soft_wrap=True)
            raise typer.Exit(code) from error


def _explain(error: Exception) -> tuple[list[str], ExitCode] | None:
    if isinstance(error, Failure):
        return [str(error)], error.code
    # Imported only now: most commands end well, and completion must be fast.
    from beta9_provisioning.client import ApiProblem, Unreachable  # noqa: PLC0415
    from beta9_provisioning.engine.errors import EngineError  # noqa: PLC0415

    if isinstance(error, Unreachable):
        return [str(error)], ExitCode.UNREACHABLE
    if isinstance(error, ApiProblem):
        return _problem_lines(error), _code_of(error.status)
    if isinstance(error, EngineError):
        return [part for part in (error.message, error.detail, error.remedy) if part], ExitCode.FAILURE
    return None


def _problem_lines(error: Any) -> list[str]:
    lines = [str(error)]
    for item in error.problem.errors:
        allowed = f" (allowed: {', '.join(item.allowed)})" if item.allowed else ""
        lines.append(f"  {item.field}: {item.message}{allowed}")
    return lines


def _code_of(status: int) -> ExitCode:
    if status == 404:
        return ExitCode.NOT_FOUND
    return ExitCode.REFUSED if 400 <= status < 500 else ExitCode.FAILURE
