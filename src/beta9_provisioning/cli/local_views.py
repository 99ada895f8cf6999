"""Views of the local stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from beta9_provisioning.local.state import State


@dataclass(frozen=True)
class StackView:
    """The stack's processes; None stands for a stack that is down."""

    state: State | None

    def rich(self) -> RenderableType:
        """Return a table of processes."""
        if self.state is None:
            return Text("The stack is not running. Start it with `make up`.")
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
        table.title = self.state.api_url or "Not completely up"
        for title in ("NAME", "STATE", "PID", "PORT", "LOG"):
            table.add_column(title)
        for member in self.state.members:
            running = member.reference.is_running()
            mark = Text("running", style="green") if running else Text("ended", style="red")
            table.add_row(member.name, mark, str(member.pid), str(member.port), member.log)
        return table

    def json(self) -> object:
        """Return the API's address, null when the stack is down, and the processes."""
        members = self.state.members if self.state else []
        return {
            "running": self.state is not None and self.state.is_running(),
            "api_url": self.state.api_url if self.state else None,
            "processes": [
                {
                    "name": member.name,
                    "running": member.reference.is_running(),
                    "pid": member.pid,
                    "port": member.port,
                    "log": member.log,
                }
                for member in members
            ],
        }
