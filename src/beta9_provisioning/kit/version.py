"""The version of this product, of which pyproject.toml is the one source."""

import tomllib
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "beta9-provisioning"


def version() -> str:
    """Return the installed version; in a checkout that is not installed, that of the checkout."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        file = Path(__file__).parents[3] / "pyproject.toml"
        # Nothing may fail for want of it: sources that were copied somewhere do not know theirs.
        return str(tomllib.loads(file.read_text())["project"]["version"]) if file.is_file() else "unknown"
