"""docs/disaster-recovery.md and manifests/backup.yaml: commands for a machine are run as they stand."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Job:
    """The hourly one, on a volume of its own."""

    operator: Operator
    volume: Path
    path: str

    def has(self, hours: dict[str, float], *, size: int = 0) -> None:
        """Put files of such ages there."""
        for name, age in hours.items():
            (self.volume / name).write_bytes(os.urandom(size))
            then = time.time() - age * 3600
            os.utime(self.volume / name, (then, then))

    def runs(self) -> int:
        """Run its command; return the exit code."""
        (container,) = find(objects("backup.yaml"), "CronJob", "provisioning-backup")["spec"]["jobTemplate"][
            "spec"
        ]["template"]["spec"]["containers"]
        (script,) = container["args"]
        command = [*container["command"], script.replace("/backups", str(self.volume))]
        environment = self.operator.environment(PATH=self.path)
        return subprocess.run(command, env=environment, timeout=GUARD_SECONDS, check=False).returncode

    def files(self) -> set[str]:
        """Return the names of all files that are there."""
        return {one.name for one in self.volume.iterdir()}


@pytest.fixture
def job(operator: Operator, path: str) -> Job:
    """One whose volume is empty."""
    volume = operator.home / "backups"
    volume.mkdir()
    return Job(operator, volume, path)


def stand_in(job: Job, name: str, lines: str) -> Job:
    """Return the same with a program that is replaced."""
    folder = job.operator.home / "stand-ins"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
    (folder / name).chmod(0o755)
    return replace(job, path=f"{folder}:{job.path}")


def hourly(hours: Iterable[int]) -> dict[str, float]:
    """Return the names and ages of what hourly jobs have made."""
    return {f"provisioning-20261127T{900 - age:06d}Z.backup": age for age in hours}


def test_the_hourly_job_keeps_three_days(job: Job) -> None:
    young, old = hourly(range(1, 72)), hourly((73, 74, 100))
    leftovers = {".provisioning-1.backup.x.partial": 2, ".provisioning-2.backup.x.partial": 0.6}
    at_work, theirs = {".provisioning-3.backup.x.partial": 0.4}, {"theirs": 1000, "theirs.backup": 1000}
    job.has({**young, **old, **leftovers, **at_work, **theirs})
    assert job.runs() == 0
    made = job.files() - young.keys() - at_work.keys() - theirs.keys()
    assert len(made) == 1
    assert made.pop().startswith("provisioning-20")
    assert len(job.files()) == len(young) + len(at_work) + len(theirs) + 1


def test_the_first_job_finds_an_empty_volume(job: Job) -> None:
    assert job.runs() == 0
    assert len(job.files()) == 1


def test_a_job_that_fails_has_made_space_and_kept_the_newest_six(job: Job) -> None:
    old = hourly(range(80, 100))
    job.has({**old, ".provisioning-1.backup.x.partial": 2})
    failing = stand_in(job, "beta9-provisioning", "exit 3")
    for _ in range(2):
        assert failing.runs() == 3
        assert job.files() == set(hourly(range(80, 86)))


def test_on_a_full_volume_the_oldest_make_way_for_two_of_the_newest(job: Job) -> None:
    """The volume has 1,000 KiB; a backup in the ten that are there has 100."""
    job.has(hourly(range(1, 11)), size=100 * 1024)
    small = stand_in(job, "df", f"echo Avail; echo $((1000 - $(du -ks {job.volume} | cut -f 1)))")
    full = stand_in(small, "beta9-provisioning", 'head -c 102400 /dev/zero >"$2"')
    assert full.runs() == 0
    assert len(job.files() & set(hourly(range(1, 8)))) == 7
    assert len(job.files()) == 8
