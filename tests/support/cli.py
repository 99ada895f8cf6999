"""The command line as a process of its own, of a user who has a configuration directory."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.terminals import PROGRAM
from tests.support.waiting import GUARD_SECONDS


@dataclass(frozen=True)
class Home:
    """A user's configuration directory, which nobody else has."""

    above: Path

    @property
    def directory(self) -> Path:
        """Where the program keeps what it knows."""
        return self.above / "beta9-provisioning"

    @property
    def variables(self) -> dict[str, str]:
        """What leads the program there."""
        return {"XDG_CONFIG_HOME": str(self.above), "COLUMNS": "200"}

    def run(
        self, *arguments: str, stdin: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without a terminal."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            env={**os.environ, **self.variables, **variables},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=GUARD_SECONDS,
        )

    def start(
        self, *arguments: str, stdout: IO[str] | int = subprocess.PIPE, **variables: str
    ) -> subprocess.Popen[str]:
        """Start a command, and leave it running."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            env={**os.environ, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def contexts(self) -> Any:
        """What the file of contexts holds."""
        return json.loads((self.directory / "contexts.json").read_text())

    def logins(self) -> dict[str, Any]:
        """What the file of credentials holds."""
        path = self.directory / "credentials.json"
        found: dict[str, Any] = json.loads(path.read_text())["logins"] if path.exists() else {}
        return found

    def change_login(self, name: str, changes: Mapping[str, object]) -> None:
        """Change a credential where it lies."""
        logins = self.logins()
        logins[name] |= changes
        (self.directory / "credentials.json").write_text(json.dumps({"logins": logins}))
