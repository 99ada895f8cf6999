"""The checkout that the local stack belongs to: it writes into its folder .local."""

from pathlib import Path

from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.tools import REQUIREMENTS

_FILES = ("example-config.yaml", REQUIREMENTS)


def project_root() -> Path:
    """Return the source tree this package runs from, else the current directory when that is a checkout.

    Raises:
        ServiceError: neither is one.
    """
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        if all((root / name).is_file() for name in _FILES):
            return root
    raise ServiceError(
        "The local stack runs in a checkout of the project, and this is an installed package. "
        "Clone the repository, and call this in its root."
    )
