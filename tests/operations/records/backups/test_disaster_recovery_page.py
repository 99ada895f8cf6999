"""docs/disaster-recovery.md and manifests/backup.yaml: commands for a machine are run as they stand."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from tests.operations.records.backups.conftest import Operator, contents
from tests.support.manifests import find, objects
from tests.support.page import DISASTER_RECOVERY, script
from tests.support.servers import Addresses, create_database, drop_database
from tests.support.waiting import GUARD_SECONDS


@pytest.fixture
def other_url(servers: Addresses, worker_id: str) -> Iterator[str]:
    """One more database without anything."""
    name = f"{servers.template}_{worker_id}_other"
    yield create_database(servers.postgres, name)
    drop_database(servers.postgres, name)


@pytest.fixture
def path(operator: Operator) -> str:
    """PATH of a shell in which the program is found."""
    program = operator.home / "bin" / "beta9-provisioning"
    program.parent.mkdir()
    program.symlink_to(Path(sys.executable).parent / program.name)
    return f"{program.parent}:{os.environ['PATH']}"


def test_the_local_commands_work_as_typed(
    operator: Operator, path: str, empty_database_url: str, other_url: str, identity: pyrage.x25519.Identity
) -> None:
    (operator.home / "key.txt").write_text(f"# public key: {identity.to_public()}\n{identity}\n")
    environment = operator.environment(
        PATH=path, NEW_DATABASE_URL=empty_database_url, OTHER_DATABASE_URL=other_url
    )
    command = ["bash", "-euo", "pipefail", "-c", script(DISASTER_RECOVERY, "local")]
    subprocess.run(command, cwd=operator.home, env=environment, check=True)
    assert operator.files() == ["bin", "encrypted.backup", "hourly.backup", "key.txt"]
    assert (operator.home / "encrypted.backup").read_bytes().startswith(b"age-encryption.org/v1")
    assert contents(empty_database_url) == contents(other_url) == contents(operator.url)


def test_the_hourly_job_keeps_three_days(operator: Operator, path: str) -> None:
    (container,) = find(objects("backup.yaml"), "CronJob", "provisioning-backup")["spec"]["jobTemplate"][
        "spec"
    ]["template"]["spec"]["containers"]
    volume = operator.home / "backups"
    volume.mkdir()
    hours = {"old.backup": 73, "young.backup": 71, ".a.backup.x.partial": 2, "theirs": 1000}
    for name, age in hours.items():
        (volume / name).touch()
        then = time.time() - age * 3600
        os.utime(volume / name, (then, then))
    command = [*container["command"], *(one.replace("/backups", str(volume)) for one in container["args"])]
    subprocess.run(command, env=operator.environment(PATH=path), timeout=GUARD_SECONDS, check=True)
    made = {one.name for one in volume.iterdir()} - hours.keys()
    assert len(made) == 1
    assert {one.name for one in volume.iterdir()} - made == {"young.backup", "theirs"}
