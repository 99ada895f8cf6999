"""What is done to a plant: kills and faults, each aimed at who works on the watched environment."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis
from tests.acceptance.crash_matrix.cases import Case, Fault, Victim
from tests.acceptance.crash_matrix.journal import NAME, Journal
from tests.acceptance.crash_matrix.plant import Plant
from tests.acceptance.crash_matrix.pods import Pod
from tests.acceptance.crash_matrix.processes import Found

_AWAY_SECONDS = 4.0
_REFUSING_SECONDS = 8.0
_FILE_BYTES = 24 * 1024
_SERVICES = ("s3", "ec2", "eks", "rds", "iam", "tagging")
_THROTTLED = {"s3": "503 SlowDown", "ec2": "503 RequestLimitExceeded"}
OTHER_NETWORK = "198.51.100.0/24"
"""From where workers with other settings come; what an environment lets in follows from it."""


@dataclass(frozen=True)
class Struck:
    """A strike that was made, at a time (Unix seconds).

    Attributes:
        what: the victim or the fault.
        worker: who ran the watched operation then, as attempts name it; nobody when it was not running.
    """

    what: str
    at: float
    worker: str | None


@dataclass
class Scene:
    """Where a case is played: its plant, the watched environment, and what is to be put right later."""

    case: Case
    plant: Plant
    journal: Journal
    watched: str = ""
    struck: list[Struck] = field(default_factory=list)
    healed_at: float = 0.0
    delete: Callable[[], bool] = lambda: False
    """Has the user delete the watched environment; False when he got no answer."""
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random: random.Random = self.case.random

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something in so many seconds."""
        self._later.append((time.monotonic() + seconds, do))

    def tick(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        due = [one for one in self._later if one[0] <= now]
        self._later = [one for one in self._later if one[0] > now]
        for _, do in due:
            do()
            self.healed_at = time.time()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is to be put right any more."""
        return not self._later

    # Aiming

    @property
    def holder(self) -> str | None:
        """The worker that runs the watched operation, as attempts name it."""
        return self.journal.holder(self.watched)

    @property
    def pod(self) -> Pod:
        """The pod of that worker; any living one while nobody runs it."""
        living = [pod for pod in self.plant.pods.values() if pod.is_running]
        holder = self.holder
        return next((pod for pod in living if pod.worker == holder), None) or self.random.choice(living)

    def working(self, role: str) -> list[Found]:
        """Return the processes of this role that work on the watched environment."""
        return [
            one for one in self.plant.running() if one.role == role and f"/{self.watched}" in one.directory
        ]


def kill(scene: Scene) -> bool:
    """Kill the case's victim; False when there is none at this moment."""
    return _noted(scene, scene.case.victim, _KILLS[scene.case.victim])


def spoil(scene: Scene) -> bool:
    """Bring the case's fault about; False when that is not possible at this moment."""
    return _noted(scene, scene.case.fault, _FAULTS[scene.case.fault])


def _noted(scene: Scene, what: str, do: Callable[[Scene], bool]) -> bool:
    holder = scene.holder
    at = time.time()
    if not do(scene):
        return False
    scene.struck.append(Struck(what, at, holder))
    return True


# Kills


def _api(scene: Scene) -> bool:
    scene.plant.kill_api(scene.random)
    return True


def _worker(scene: Scene) -> bool:
    scene.plant.kill_worker(scene.pod)
    return True


def _pod(scene: Scene) -> bool:
    scene.plant.kill_pod(scene.pod)
    return True


def _process(role: str) -> Callable[[Scene], bool]:
    def strike(scene: Scene) -> bool:
        found = scene.working(role)
        if role == "launcher":
            found = [one for one in found if any(word.endswith("terraform") for word in one.words)]
        for one in found[:1]:
            one.kill()
        return bool(found)

    return strike


def _redis(scene: Scene) -> bool:
    scene.plant.kill_redis()
    scene.later(_AWAY_SECONDS, scene.plant.start_redis)
    return True


def _postgres(scene: Scene) -> bool:
    scene.plant.kill_postgres()
    scene.later(1.0, scene.plant.start_postgres)
    return True


def _backends(scene: Scene) -> list[int]:
    rows = scene.journal.ask(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> %s",
        NAME,
    )
    return [row.pid for row in rows]


def _backend(scene: Scene) -> bool:
    found = _backends(scene)
    if found:
        os.kill(scene.random.choice(found), signal.SIGKILL)
    return bool(found)


_KILLS: dict[Victim, Callable[[Scene], bool]] = {
    Victim.API: _api,
    Victim.WORKER: _worker,
    Victim.POD: _pod,
    Victim.LAUNCHER: _process("launcher"),
    Victim.TERRAFORM: _process("terraform"),
    Victim.HELM: _process("helm"),
    Victim.REDIS: _redis,
    Victim.POSTGRES: _postgres,
    Victim.BACKEND: _backend,
}


# Faults


def _sigterm(scene: Scene) -> bool:
    pod = scene.pod
    pod.ended_at = time.time()
    pod.terminate()
    return True


def _update(scene: Scene) -> bool:
    """A new worker with other settings comes first; the old ones go when it is ready."""
    old = [pod for pod in scene.plant.pods.values() if pod.is_running]
    for pod in old:
        pod.is_expected = False
    new = scene.plant.add_worker(CONTROL_PLANE_CIDRS=OTHER_NETWORK)
    scene.plant.newer.add(new.worker)

    def replace() -> None:
        if new.is_running and not new.is_ready:
            scene.later(0.1, replace)
            return
        for pod in old:
            if pod.is_running:
                pod.ended_at = time.time()
                pod.terminate()

    replace()
    return True


def _partition(scene: Scene) -> bool:
    """Either all packets are dropped, so that nobody notices at once, or all connections break."""
    proxy = scene.plant.proxies[scene.pod.name]
    if scene.random.random() < 0.5:
        proxy.freeze()
    else:
        proxy.cut()
    scene.later(scene.plant.profile.lease * 1.5, proxy.heal)
    return True


def _freeze(scene: Scene) -> bool:
    worker = next((one for one in scene.plant.of(scene.pod.name) if one.role == "worker"), None)
    if worker is None:
        return False
    worker.kill(signal.SIGSTOP)
    scene.later(scene.plant.profile.lease * 2.5, lambda: worker.kill(signal.SIGCONT))
    return True


def _flush(scene: Scene) -> bool:
    with redis.Redis.from_url(scene.plant.redis_url) as client:
        client.flushall()
    return True


def _restart(seconds: float) -> Callable[[Scene], bool]:
    def strike(scene: Scene) -> bool:
        scene.plant.stop_postgres()
        scene.later(seconds or scene.plant.profile.lease + 5.0, scene.plant.start_postgres)
        return True

    return strike


def _end_backend(scene: Scene) -> bool:
    found = _backends(scene)
    if found:
        scene.journal.ask("SELECT pg_terminate_backend(%s)", scene.random.choice(found))
    return bool(found)


def _refuse(scene: Scene, service: str, answer: str) -> None:
    until = time.time() + _REFUSING_SECONDS
    scene.plant.world.store.set_setting(f"refuses:{service}", f"{answer} {until}")


def _state_store(scene: Scene) -> bool:
    _refuse(scene, "s3", "503 ServiceUnavailable")
    scene.later(_REFUSING_SECONDS, lambda: None)
    return True


def _throttle(scene: Scene) -> bool:
    for service in _SERVICES:
        _refuse(scene, service, _THROTTLED.get(service, "400 ThrottlingException"))
    scene.later(_REFUSING_SECONDS, lambda: None)
    return True


def _impatience(scene: Scene) -> bool:
    """Creates of databases and clusters take longer than the provider waits, from now on for a while."""
    store = scene.plant.world.store
    for type_ in ("aws_eks_cluster", "aws_db_instance"):
        store.set_setting(f"create_seconds:{type_}", "6")
        store.set_setting(f"gives_up:{type_}", "2")

    def end() -> None:
        for type_ in ("aws_eks_cluster", "aws_db_instance"):
            store.set_setting(f"create_seconds:{type_}", "")
            store.set_setting(f"gives_up:{type_}", "")

    scene.later(15.0, end)
    return True


def _fill_disk(scene: Scene) -> bool:
    """Fill the pod's disk for a while; without one of its own, let no file of its worker become large."""
    pod = scene.pod
    if not pod.isolated:
        _, most = resource.prlimit(pod.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pod.pid, resource.RLIMIT_FSIZE, (_FILE_BYTES, most))
        scene.later(_REFUSING_SECONDS, lambda: _allow_files(pod))
        return True
    filler = pod.disk / "filler"
    with filler.open("wb") as file:
        _fill(file.fileno(), pod.disk)
    scene.later(_REFUSING_SECONDS, lambda: filler.unlink(missing_ok=True) if pod.is_running else None)
    return True


def _fill(file: int, disk: Path) -> None:
    """Take all that is free; others write meanwhile: what was free a moment ago may not be any more."""
    while free := _free_bytes(disk):
        try:
            os.posix_fallocate(file, os.fstat(file).st_size, free)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def _free_bytes(disk: Path) -> int:
    free = os.statvfs(disk)
    return free.f_bavail * free.f_frsize


def _allow_files(pod: Pod) -> None:
    if pod.is_running:
        _, most = resource.prlimit(pod.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pod.pid, resource.RLIMIT_FSIZE, (most, most))


def _cold(scene: Scene) -> bool:
    """Only the worker that runs the operation is there; who comes after it has watched nobody yet."""
    kept = scene.pod
    for pod in list(scene.plant.pods.values()):
        if pod is not kept and pod.is_running:
            pod.is_expected = False
            scene.plant.kill_worker(pod)
    return True


def _delete(scene: Scene) -> bool:
    return scene.delete()


_FAULTS: dict[Fault, Callable[[Scene], bool]] = {
    Fault.SIGTERM: _sigterm,
    Fault.UPDATE: _update,
    Fault.PARTITION: _partition,
    Fault.FROZEN: _freeze,
    Fault.REDIS_FLUSHED: _flush,
    Fault.POSTGRES_RESTARTED: _restart(1.0),
    Fault.POSTGRES_AWAY: _restart(0.0),
    Fault.BACKEND_ENDED: _end_backend,
    Fault.STATE_STORE: _state_store,
    Fault.THROTTLED: _throttle,
    Fault.CREATE_TIMES_OUT: _impatience,
    Fault.FULL_DISK: _fill_disk,
    Fault.COLD_WORKER: _cold,
    Fault.DELETED: _delete,
}
