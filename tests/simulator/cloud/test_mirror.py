"""The mirror that makes Terraform take the simulated provider."""

import os
import subprocess
from pathlib import Path

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.mirror import cli_config, install_mirror


def launcher(mirror: Path) -> Path:
    (found,) = mirror.glob("registry.terraform.io/hashicorp/aws/6.69.1/*/terraform-provider-aws_v6.69.1")
    return found


def test_the_launcher_is_written_once(tmp_path: Path) -> None:
    install_mirror(tmp_path, SCHEMA_FILE)
    before = launcher(tmp_path).stat()
    assert os.access(launcher(tmp_path), os.X_OK)
    install_mirror(tmp_path, SCHEMA_FILE)
    assert launcher(tmp_path).stat().st_mtime_ns == before.st_mtime_ns
    install_mirror(tmp_path, SCHEMA_FILE, tmp_path / "a store")
    assert "BETA9_SIM_STORE=" in launcher(tmp_path).read_text()


def test_the_configuration_names_the_mirror_and_no_other_source(tmp_path: Path) -> None:
    directory = tmp_path / 'odd "name"'
    directory.mkdir()
    text = cli_config(directory).read_text()
    assert '\\"name\\""' in text
    assert "direct" not in text


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "Terraform starts it, people do not"),
        ({"TF_PLUGIN_MAGIC_COOKIE": "x"}, "BETA9_SIM_STORE is not set"),
    ],
)
def test_a_plugin_started_by_hand_says_what_is_wrong(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    install_mirror(tmp_path, SCHEMA_FILE)
    done = subprocess.run(
        [str(launcher(tmp_path))],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
