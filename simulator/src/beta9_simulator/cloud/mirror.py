"""Makes Terraform take the simulated provider for the genuine one, by a filesystem mirror."""

import platform
import shlex
import sys
from pathlib import Path

from beta9_simulator.cloud.provider.schema import read_schema

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def install_mirror(directory: Path, schema_file: Path, store: Path | None = None) -> None:
    """Write an unpacked filesystem mirror that holds the simulated hashicorp/aws.

    It has the schema in ``schema_file``. Its cloud is ``store``; without one the provider finds it by the
    variable ``BETA9_SIM_STORE``. The provider is a launcher script that runs this package with this Python
    interpreter. It is written again only when it would change, since Terraform records its hash in every
    ``.terraform.lock.hcl``.
    """
    schema = read_schema(schema_file)
    target = f"{platform.system().lower()}_{_MACHINES[platform.machine().lower()]}"
    launcher = (
        directory / schema.source / schema.version / target / f"terraform-provider-aws_v{schema.version}"
    )
    named = f"export BETA9_SIM_SCHEMA={shlex.quote(str(schema_file.absolute()))}\n"
    if store:
        named += f"export BETA9_SIM_STORE={shlex.quote(str(store))}\n"
    script = (
        f"#!/bin/sh\n{named}"
        f"PYTHONPATH={shlex.quote(str(_PACKAGE_ROOT))} exec {shlex.quote(sys.executable)} "
        "-m beta9_simulator.cloud.provider\n"
    )
    if launcher.is_file() and launcher.read_text(encoding="utf-8") == script:
        return
    launcher.parent.mkdir(parents=True, exist_ok=True)
    fresh = launcher.with_suffix(".new")
    fresh.write_text(script, encoding="utf-8")
    fresh.chmod(0o755)
    fresh.replace(launcher)


def cli_config(directory: Path) -> Path:
    """Write the Terraform CLI configuration that takes providers from the mirror in ``directory`` only.

    Returns its path, for ``TF_CLI_CONFIG_FILE``.
    """
    path = directory / "terraform.rc"
    mirror = str(directory).replace("\\", "\\\\").replace('"', '\\"')
    content = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        path.write_text(content, encoding="utf-8")
    return path
