"""The command line as operators run it: a process of its own, on a database."""

import os
import subprocess
import sys
from pathlib import Path


def beta9(database_url: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        [Path(sys.executable).with_name("beta9-provisioning"), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DATABASE_URL": database_url,
        },
        capture_output=True,
        text=True,
        check=False,
    )
