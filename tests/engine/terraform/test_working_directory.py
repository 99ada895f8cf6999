"""What an earlier run left in Terraform's working directory, with genuine Terraform."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.waiting import until

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.engine.processes.process import AlreadyRunning
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.engine.terraform.working_directory import clear
from beta9_provisioning.local.tools import find_terraform
from beta9_simulator.cloud.mirror import cli_config, install_mirror

LOCK = """
provider "registry.terraform.io/hashicorp/aws" {
  version     = "%s"
  constraints = "%s"
  hashes      = ["h1:bm9ib2R5J3MgaGFzaCwgb2YgMzIgYnl0ZXMgaW4gYWxsISE="]
}
"""
NEVER = threading.Event()


def terraform(directory: Path, mirror: Path, version: str) -> Terraform:
    provider = {"aws": {"source": "hashicorp/aws", "version": version}}
    document = {"terraform": {"required_providers": provider}, "resource": {"terraform_data": {"a": {}}}}
    (directory / "cdk.tf.json").write_text(json.dumps(document))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory.parent),
        "TF_CLI_CONFIG_FILE": str(cli_config(mirror)),
    }
    return Terraform(
        binary=find_terraform(), directory=directory, env=env, stop=NEVER, on_event=lambda _: None
    )


@pytest.mark.parametrize("locked", ["the same", "an older"])
def test_the_lock_file_of_another_mirror_or_an_older_provider_fails_nothing(
    tmp_path: Path, locked: str
) -> None:
    mirror, directory = tmp_path / "mirror", tmp_path / "stack"
    install_mirror(mirror, SCHEMA_FILE, tmp_path / "cloud.sqlite")
    version = next(mirror.glob("*/*/*/*")).name
    directory.mkdir()
    old = version if locked == "the same" else "5.0.0"
    (directory / ".terraform.lock.hcl").write_text(LOCK % (old, old))
    (directory / ".terraform").mkdir()
    (directory / ".terraform" / "environment").write_text("elsewhere")
    (directory / "old.tf.json").write_text('{"resource": {"no_such_type": {"a": {}}}}')
    clear(directory, NEVER)
    subject = terraform(directory, mirror, version)
    subject.init()
    subject.apply(60)
    assert subject.resources() == ["terraform_data.a"]
    assert not (directory / "terraform.tfstate.d").exists()


def test_a_state_that_could_not_be_saved_survives(tmp_path: Path) -> None:
    (tmp_path / "errored.tfstate").write_text("{}")
    (tmp_path / "superseded-7.tfstate").write_text("{}")
    (tmp_path / "terraform.log").write_text("of the last run")
    (tmp_path / "link").symlink_to("/usr")
    clear(tmp_path, NEVER)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "errored.tfstate": "{}",
        "superseded-7.tfstate": "{}",
        "terraform.log": "",
    }


def test_nothing_is_taken_from_a_terraform_that_still_runs(tmp_path: Path) -> None:
    (tmp_path / ".terraform").mkdir()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); f.write('x'); f.flush()"
    log = tmp_path / "terraform.log"
    left = subprocess.Popen(
        [sys.executable, "-c", f"{hold}; sys.stdin.read()", str(log)], stdin=subprocess.PIPE
    )
    try:
        until(lambda: log.exists() and log.read_text() == "x", "the lock is held")
        with pytest.raises(AlreadyRunning):
            clear(tmp_path, NEVER, patience=0)
        assert (tmp_path / ".terraform").exists()
    finally:
        left.communicate()
    clear(tmp_path, NEVER, patience=0)
    assert not (tmp_path / ".terraform").exists()
