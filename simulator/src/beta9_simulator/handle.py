"""What a running simulator says of itself, in a file that whoever started it reads."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "simulator.json"
_CREDENTIALS = "credentials"
CHARTS = Path(__file__).parent / "charts"
"""The directory of the stand-in charts."""
ABOUT = "/_beta9_simulator"
"""Path at which the AWS API says, unsigned, that it is this simulator. No bucket can be called so."""


@dataclass(frozen=True)
class Simulator:
    """How to reach a running simulator."""

    pid: int
    aws_url: str
    kubernetes_url: str
    control_url: str
    """The door of the local stack."""
    access_key: str
    secret_key: str
    """Access key of the control plane's own principal, which may assume the customer's role."""
    store: str
    """Path of the simulated cloud's store."""
    terraform_cli_config: str
    """Path of the Terraform CLI configuration that names the simulated provider."""
    charts: str
    """Path of the directory that holds the stand-in charts."""

    @classmethod
    def load(cls, directory: Path) -> "Simulator | None":
        """Return what the simulator in this directory wrote when it became ready; None before."""
        try:
            return cls(**json.loads((directory / _FILE).read_text()))
        except FileNotFoundError:
            return None

    def announce(self, directory: Path) -> None:
        """Write it, whole or not at all, where `load` finds it; only its owner can read it."""
        _write_secret(directory / _FILE, json.dumps(asdict(self)))


def retract(directory: Path) -> None:
    """Remove what `announce` wrote there: the simulator is not, or no longer, ready."""
    (directory / _FILE).unlink(missing_ok=True)


def write_credentials(directory: Path, access_key: str, secret_key: str) -> None:
    """Write the control plane's access key as a file for AWS_SHARED_CREDENTIALS_FILE."""
    lines = ("[default]", f"aws_access_key_id = {access_key}", f"aws_secret_access_key = {secret_key}")
    _write_secret(directory / _CREDENTIALS, "\n".join(lines) + "\n")


def _write_secret(path: Path, text: str) -> None:
    """Write a file, whole or not at all, that only its owner can read."""
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(text)
    aside.replace(path)
