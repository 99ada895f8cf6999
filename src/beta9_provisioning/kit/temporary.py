"""Where temporary files are meant to go, whether that works or not."""

import os
import tempfile
from pathlib import Path


def temporary_directory() -> Path:
    """Return TMPDIR if it is set, and else what Python finds.

    Python alone would silently take another place when TMPDIR is full or absent; our tools would not.

    Raises:
        OSError: it is not set, and none of the usual places can be written to.
    """
    given = os.environ.get("TMPDIR")
    return Path(given) if given else Path(tempfile.gettempdir())
