"""Write the mirror with the simulated provider where Dockerfile.simulator wants it."""

from pathlib import Path

from beta9_simulator.cloud.mirror import cli_config, install_mirror

_PARTS = Path("/opt/beta9-simulator")
_STORE = Path("/var/lib/beta9-simulator/cloud.sqlite")

if __name__ == "__main__":
    install_mirror(_PARTS / "providers", _PARTS / "provider.json", _STORE)
    cli_config(_PARTS / "providers")
