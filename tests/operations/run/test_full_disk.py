"""A disk that fills up ends an operation, is told as what it is, and frees the worker's slot."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.operations.bench import CONFIG
from tests.operations.rows import add_destroy, make_environment, operation
from tests.support.simulated import World, simulated_world
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.engine.errors import DiskFull, EngineError
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.lifecycle import FINAL
from beta9_provisioning.operations.run.full_disk import full_disk
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.preflight import ROOM_BYTES

SIZE = ROOM_BYTES + 16 * 2**20
MOUNT = f'mount -t tmpfs -o size={SIZE} none "$0" && exec "$@"'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with simulated_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@contextmanager
def worker(settings: Settings, environment: dict[str, str], directory: Path) -> Iterator[Path]:
    """Run a worker whose directory is a small file system; give that as seen from here.

    The file system is mounted in a namespace of the worker's own, which needs no privilege.
    """
    small = directory / "small"
    small.mkdir()
    variables = {
        name.upper(): str(value) for name, value in settings.model_dump(exclude_defaults=True).items()
    }
    variables |= {"WORKDIR_BASE": str(small), "PYTHONPATH": os.pathsep.join(sys.path)}
    variables |= {"WORKER_METRICS_PORT": "0", "CONTROL_PLANE_CIDRS": "203.0.113.0/24"}
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(small)]
    log = directory / "worker.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, sys.executable, "-m", "beta9_provisioning.worker"],
            cwd=directory,
            env=environment | variables,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: "worker_started" in log.read_text(), "the worker has started")
        yield Path(f"/proc/{child.pid}/root{small}")
    finally:
        child.terminate()
        child.wait(GUARD_SECONDS)
    assert "Traceback" not in log.read_text(), log.read_text()


@dataclass(frozen=True)
class Bench:
    """What an operation needs: database, queue, simulated cloud, and a worker's settings and variables."""

    sessions: Sessions
    queue: Queue
    settings: Settings
    variables: dict[str, str]


@pytest.fixture
def bench(sessions: Sessions, queue: Queue, settings: Settings, world: World, tmp_path: Path) -> Bench:
    with pytest.MonkeyPatch.context() as patch:
        own = world.settings(tmp_path, patch, worker_threads=1, leftover_grace_seconds=0)
        own = own.model_copy(update={"database_url": settings.database_url, "redis_url": settings.redis_url})
        variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "PATH"))}
    return Bench(sessions, queue, own, variables)


@pytest.mark.parametrize("free_kib", [0, 40])
def test_an_operation_on_a_full_disk_tells_the_operator_what_to_do_and_frees_the_slot(
    bench: Bench, tmp_path: Path, free_kib: int
) -> None:
    sessions, queue = bench.sessions, bench.queue
    made = make_environment(sessions, CONFIG)
    with worker(bench.settings, bench.variables, tmp_path) as small:
        filler = small / "filler"
        used = SIZE - shutil.disk_usage(small).free
        with filler.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, SIZE - used - free_kib * 1024)
        queue.send(ACTOR, made.operation_id)
        until(lambda: operation(sessions, made.operation_id).status in FINAL, "it ends")
        ended = operation(sessions, made.operation_id)
        assert ended.error is not None
        assert (ended.reason, ended.error["code"]) == ("internal", "disk_full"), ended.error
        assert "WORKDIR_BASE" in ended.error["remedy"]
        filler.unlink()
        destroy = add_destroy(sessions, made.environment_id)
        queue.send(ACTOR, destroy)
        until(lambda: operation(sessions, destroy).status in FINAL, "the slot is free")
        assert operation(sessions, destroy).error is None


def test_a_full_disk_in_the_customers_cluster_is_not_ours(tmp_path: Path) -> None:
    told = EngineError("The chart failed.", detail="node ip-10-0-0-1: no space left on device")
    assert full_disk(told, tmp_path) is None


TOLD = """
from pathlib import Path
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.operations.run.full_disk import full_disk
print(full_disk(EngineError("It failed.", detail="no space left on device"), Path("/")))
"""


def test_a_full_directory_for_temporary_files_is_ours_though_others_have_room(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=4k none "$0" && head -c 4096 /dev/zero > "$0/file" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [*command, sys.executable, "-c", TOLD],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "The disk of the worker was full.\n"


def test_a_full_disk_below_another_error_is_found(tmp_path: Path) -> None:
    error = EngineError("It failed.")
    error.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded")
    assert isinstance(full_disk(error, tmp_path), DiskFull)
