"""The whole product for one case: genuine servers, API processes, workers in pods, a simulated cloud."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.crash_matrix.pods import Pod
from tests.acceptance.crash_matrix.processes import PODS, TEMPORARY, Found, end_at_once, processes
from tests.support.process_tree import descendants, wait_for_end
from tests.support.proxy import Proxy
from tests.support.simulated import ROOT, simulated_world

from beta9_provisioning.local import variables
from beta9_provisioning.local.ports import HOST
from beta9_provisioning.local.postgres import EmbeddedPostgres, data_directory
from beta9_provisioning.local.servers import answers, spawn, start_on_port
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.local.valkey import EmbeddedValkey

# What was committed must outlive a killed server, not a machine without power.
_POSTGRES = {"fsync": "off", "full_page_writes": "off"}
_API_PROCESSES = 3
API = "api"


@dataclass(frozen=True)
class Profile:
    """How quick the product is to judge.

    Attributes:
        lease: seconds of a lease.
        settings: of all processes.
        deadline: seconds after which an operation that has not ended counts as lost.
    """

    name: str
    lease: float
    settings: Mapping[str, str] = field(default_factory=dict)
    deadline: float = 240.0


# So long the path of a socket may be: sun_path in unix(7), without its end.
_SOCKET_BYTES = 107
SHORT = Profile("short leases", 12.0, {"LEASE_SECONDS": "12", "RECONCILE_SECONDS": "1"})
DEFAULT = Profile("default settings", 55.0, deadline=480.0)


def prepare(base: Path, source: Path | None = None) -> Path:
    """Make PostgreSQL's data with a source's schema, to be copied for each case; return its directory."""
    home = data_directory(base / "prepared")
    server = EmbeddedPostgres(home, settings=_POSTGRES, tied=True).start()
    environment = {**os.environ, **_from(source), "DATABASE_URL": server.url}
    command = [sys.executable, "-m", "beta9_provisioning.operations.records.migrate"]
    try:
        subprocess.run(command, env=environment, cwd=base, capture_output=True, check=True)
    finally:
        server.stop()
    return home


def _from(source: Path | None) -> dict[str, str]:
    """Return what makes Python take the product from a source."""
    return {} if source is None else {"PYTHONPATH": str(source)}


class Plant:
    """Starts everything, can take each part away and put it back; whoever calls owns the processes."""

    def __init__(
        self, directory: Path, prepared: Path, profile: Profile, *, isolated: bool, source: Path | None
    ) -> None:
        """Name the plant; nothing is started.

        Args:
            directory: of logs, pods and the simulated cloud.
            prepared: what `prepare` made.
            profile: of the product's settings.
            isolated: give each worker a PID namespace and a disk of its own (needs root).
            source: a copy of the product's source to run in place of the checkout's.
        """
        self.directory = directory
        self.profile = profile
        self.isolated = isolated
        self.pods: dict[str, Pod] = {}
        self.proxies: dict[str, Proxy] = {}
        self.api_url = ""
        self.newer: set[str] = set()
        """Workers that were started with other settings, as attempts name them."""
        self._prepared = prepared
        self._source = source
        self._stack = ExitStack()
        self._tools = ensure_tools(ROOT)
        self.programs = variables.Programs(find_terraform(), self._tools.helm, self._tools.kubectl)
        self._api_port = 0
        self._count = 0

    # Life

    def start(self, workers: int, *, through_proxy: bool = False, **changes: str) -> None:
        """Start all parts, with so many workers."""
        self._through_proxy = through_proxy
        self._home = data_directory(self.directory)
        self._stack.callback(shutil.rmtree, self._home, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self._prepared), str(self._home)], check=True)
        self._postgres = EmbeddedPostgres(self._home, settings=_POSTGRES, tied=True).start()
        self._stack.callback(lambda: self._postgres.stop())
        self._valkey = EmbeddedValkey(self.directory / "valkey", password="matrix", tied=True).start()
        self._stack.callback(lambda: self._valkey.stop())
        cloud = self.directory / "cloud"
        cloud.mkdir(parents=True)
        self.world = self._stack.enter_context(simulated_world(cloud))
        pods = [self.add_worker(**changes) for _ in range(workers)]
        self.start_api()
        for pod in pods:
            pod.wait_until_ready()

    def stop(self) -> None:
        """End what still runs, whatever it is, and remove what it has written."""
        end_at_once(self.running())
        for proxy in self.proxies.values():
            proxy.close()
        self._stack.close()

    def running(self) -> list[Found]:
        """Return the living processes of the product."""
        return processes(self.directory)

    # Workers

    def add_worker(self, **changes: str) -> Pod:
        """Start one more worker; it takes operations some seconds later."""
        self._count += 1
        pod = Pod.named(self.directory / PODS, f"worker-{self._count}", isolated=self.isolated)
        url = self.database_url
        if self._through_proxy:
            self.proxies[pod.name] = Proxy(url)
            url = self.proxies[pod.name].url
        settings = variables.worker(
            self._common(pod.directory),
            self.world.simulator,
            self.programs,
            database_url=url,
            redis_url=self._valkey.url,
            directory=pod.directory,
        )
        pod.start({**settings, **changes})
        self.pods[pod.name] = pod
        return pod

    def tend(self) -> None:
        """Start another worker for each that has ended, as a platform does."""
        for pod in [pod for pod in self.pods.values() if pod.is_expected and not pod.is_running]:
            pod.is_expected = False
            self.add_worker()

    def kill_worker(self, pod: Pod) -> None:
        """Kill the worker itself; its children see to themselves."""
        pod.ended_at = pod.ended_at or time.time()
        for one in self.of(pod.name):
            if one.role == "worker":
                one.kill()

    def kill_pod(self, pod: Pod) -> None:
        """Kill all processes of a pod at once, and take its disk away."""
        pod.ended_at = pod.ended_at or time.time()
        pod.kill(self.of(pod.name))
        self.pods.pop(pod.name)
        pod.is_expected = False
        self.add_worker()

    def of(self, name: str) -> list[Found]:
        """Return the living processes of a pod."""
        return [one for one in self.running() if one.pod == name]

    # API

    def start_api(self) -> None:
        """Start the API's supervisor with its processes; at its second start on the port of the first."""
        directory = self.directory / PODS / API
        (directory / TEMPORARY).mkdir(parents=True, exist_ok=True)
        settings = variables.api(
            self._common(directory), database_url=self.database_url, redis_url=self._valkey.url
        )
        child, self._api_port = start_on_port(
            API,
            lambda port: spawn(
                [sys.executable, "-m", "beta9_provisioning.api"],
                {**settings, "API_PORT": str(port), "API_PROCESSES": str(_API_PROCESSES)},
                cwd=directory,
                log=self.directory / f"api-{time.monotonic_ns()}.log",
                tied=True,
            ),
            lambda _pid, port: answers(f"http://{HOST}:{port}/health"),
            self.directory / "api.log",
            self._api_port,
        )
        self.api_url = f"http://{HOST}:{self._api_port}"
        self._api = child

    def kill_api(self, choose: random.Random) -> None:
        """Kill one of the processes that serve."""
        serving = [one for one in self.of(API) if "beta9_provisioning.api.server" in one.words]
        choose.choice(serving).kill()

    # Servers

    @property
    def database_url(self) -> str:
        """Where the database is, past all proxies."""
        return self._postgres.url

    @property
    def redis_url(self) -> str:
        """Where the queue is."""
        return self._valkey.url

    def kill_postgres(self) -> None:
        """Kill the server and all its backends at once."""
        postmaster = self._postgres.process.pid
        everyone = [postmaster, *descendants(postmaster)]
        for pid in everyone:
            os.kill(pid, signal.SIGKILL)
        wait_for_end(*everyone)
        self._postgres.stop()

    def stop_postgres(self) -> None:
        """Stop the server as a restart does: sessions are ended."""
        self._postgres.stop()

    def start_postgres(self) -> None:
        """Start it again where it was."""
        self._postgres = EmbeddedPostgres(
            self._home, self._postgres.port, settings=_POSTGRES, tied=True
        ).start()

    def kill_redis(self) -> None:
        """Kill the server; what it held is gone."""
        os.kill(self._valkey.process.pid, signal.SIGKILL)

    def start_redis(self) -> None:
        """Start it again where it was, empty."""
        self._valkey.stop()
        self._valkey = EmbeddedValkey(
            self.directory / "valkey", self._valkey.port, password="matrix", tied=True
        ).start()

    def _common(self, directory: Path) -> dict[str, str]:
        temporary = f"{directory}/{TEMPORARY}"
        # Terraform would fail, and its failure be taken for the product's.
        assert len(f"{temporary}/plugin-12345678/s") <= _SOCKET_BYTES, f"{temporary} is too long for sockets"
        common = {**variables.base(self.programs), **self.profile.settings}
        common |= {"TMPDIR": temporary, "LOG_FORMAT": "json"}
        return common | _from(self._source)


@contextmanager
def planted(
    directory: Path, prepared: Path, profile: Profile, *, isolated: bool, source: Path | None
) -> Iterator[Plant]:
    """Give a plant, and end all of it afterwards."""
    plant = Plant(directory, prepared, profile, isolated=isolated, source=source)
    try:
        yield plant
    finally:
        plant.stop()
