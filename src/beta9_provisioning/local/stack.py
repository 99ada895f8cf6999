"""The whole product on one machine: `Stack.up` starts it, `Stack.down` stops exactly what was started."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.local import variables
from beta9_provisioning.local.checkout import project_root
from beta9_provisioning.local.ports import HOST, require_free
from beta9_provisioning.local.postgres import THROW_AWAY, EmbeddedPostgres, data_directory
from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.local.servers import ServiceError, answers, spawn, start_on_port
from beta9_provisioning.local.state import Member, State, exclusive, forget
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.local.valkey import EmbeddedValkey
from beta9_provisioning.local.variables import Programs
from beta9_provisioning.schemas.configuration import Provider
from beta9_simulator.handle import Simulator

_DATA = ("cloud", "valkey", "work")
_SERVER_GRACE = 20.0
# A worker gives its operations 120 s to stop, save their state and write that down.
_WORKER_GRACE = 130.0
_MIGRATION_SECONDS = 120


class AlreadyUp(Exception):
    """The stack is running already; `state` tells where."""

    def __init__(self, state: State) -> None:
        super().__init__(f"The stack is running already, at {state.api_url}. Stop it with `make down`.")
        self.state = state


class Stack:
    """One local stack; everything it writes is in one directory (and, as root, PostgreSQL's in /var/tmp)."""

    def __init__(self, directory: Path, report: Callable[[str], None], *, tied: bool = False) -> None:
        """Name the stack.

        Args:
            directory: its state, logs and data; two stacks must not share it.
            report: is told what is going on, one sentence at a time.
            tied: end the stack's processes, too, when the thread that calls `up` ends without `down`.
        """
        self.directory = directory.absolute()
        self.logs = self.directory / "logs"
        self._root = project_root()
        self._report = report
        self._tied = tied
        self._state = State()

    def up(self, *, api_port: int, time_scale: float) -> State:
        """Start everything and wait until all of it is ready; if one part fails, stop the others.

        Args:
            api_port: port of the API on 127.0.0.1; 0 takes a free one. All else takes free ones.
            time_scale: how long the simulated cloud takes, 1 being as long as a real one, 0 no time.

        Raises:
            AlreadyUp: it is running.
            PortTaken: something else listens on `api_port`.
            ServiceError: a part did not start.
            ToolError: Terraform, Helm or kubectl is missing.
            StackBusy: another command starts or stops it now.
        """
        with exclusive(self.directory):
            self._take_over()
            if api_port:
                remedy = "Stop it, or choose others with `--port-offset 100` (`make up PORT_OFFSET=100`)."
                require_free(api_port, "the API", remedy)
            try:
                self._start(api_port, time_scale)
            except BaseException:
                self._end(self._state)
                raise
            return self._state

    def down(self) -> bool:
        """Stop what `up` started and delete its data; return whether there was anything to stop.

        The data goes because half of it is gone in any case: the simulated cloud keeps buckets and clusters
        in memory. The logs stay.

        Raises:
            StackBusy: another command starts or stops it now.
        """
        with exclusive(self.directory):
            state = State.load(self.directory)
            self._end(state or State())
            return state is not None

    def state(self) -> State | None:
        """Return what is saved about the stack, running or not."""
        return State.load(self.directory)

    def simulator(self) -> Simulator:
        """Return how to reach the simulated cloud.

        Raises:
            ServiceError: it is not running.
        """
        found = Simulator.load(self.directory / "cloud")
        if found is None:
            raise ServiceError("The simulated cloud is not running. Start the stack with `make up`.")
        return found

    def _take_over(self) -> None:
        """End what an earlier start that was cut off, or a crash, has left running."""
        state = State.load(self.directory)
        if state is not None and state.is_running():
            raise AlreadyUp(state)
        if state is not None:
            self._report("Cleaning up after a stack that did not end in order")
        self._end(state or State())
        self._state = State()
        self.logs.mkdir(exist_ok=True)

    def _start(self, api_port: int, time_scale: float) -> None:
        tools = ensure_tools(self._root)
        # A Terraform of the user comes first; the set-up fetched one beside Helm only if there was none.
        search_path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(tools.helm.parent)])
        programs = Programs(find_terraform(search_path), tools.helm, tools.kubectl)
        common = variables.base(programs)
        database_url, redis_url = self._start_servers()
        simulator = self._start_simulator(common, time_scale)
        self._migrate({**common, "DATABASE_URL": database_url})
        api = variables.api(common, database_url=database_url, redis_url=redis_url)
        api_url = self._start_api(api, api_port)
        worker = variables.worker(
            common,
            simulator,
            programs,
            database_url=database_url,
            redis_url=redis_url,
            directory=self.directory,
        )
        self._start_worker(worker)
        self._state.api_url = api_url
        self._state.environment = variables.user(api_url, simulator, programs)
        self._state.complete = True
        self._state.save(self.directory)

    def _start_servers(self) -> tuple[str, str]:
        """Return the addresses of PostgreSQL and Redis; those that the user names are taken as they are."""
        database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
        if not database_url:
            self._report("Starting PostgreSQL")
            log = self.logs / "postgres.log"
            postgres = EmbeddedPostgres(
                data_directory(self.directory), settings=THROW_AWAY, log=log, tied=self._tied
            ).start()
            self._add("postgres", postgres.process, port=postgres.port, log=log, stop=signal.SIGINT)
            database_url = postgres.url
        if not redis_url:
            self._report("Starting Valkey")
            log = self.logs / "valkey.log"
            valkey = EmbeddedValkey(self.directory / "valkey", log=log, tied=self._tied).start()
            self._add("valkey", valkey.process, port=valkey.port, log=log, stop=signal.SIGTERM)
            redis_url = valkey.url
        return database_url, redis_url

    def _start_simulator(self, common: dict[str, str], time_scale: float) -> Simulator:
        self._report("Starting the simulated AWS and Kubernetes APIs")
        directory = self.directory / "cloud"
        policies = self.directory / "policies.json"
        policies.write_text(json.dumps(CLOUDS[Provider.AWS].published_policies()), encoding="utf-8")
        example = YAML(typ="safe", pure=True).load((self._root / "example-config.yaml").read_text())["cloud"]
        arguments = [
            str(directory),
            "--provider-schema",
            str(CLOUDS[Provider.AWS].provider_schema),
            "--account",
            example["account_id"],
            "--external-id",
            example["external_id"],
        ]
        arguments += ["--time-scale", str(time_scale), "--policies", str(policies)]

        def ready(pid: int, _port: int) -> bool:
            found = Simulator.load(directory)
            return found is not None and found.pid == pid and answers(f"{found.control_url}/health")

        self._run("simulator", "beta9_simulator", lambda _port: common, ready, arguments=arguments)
        return self.simulator()

    def _start_api(self, settings: dict[str, str], wanted: int) -> str:
        self._report("Starting the API, which asks nobody who he is (AUTH_MODE=none)")
        port = self._run(
            "api",
            "beta9_provisioning.api",
            lambda port: {**settings, "API_PORT": str(port)},
            lambda _pid, port: answers(f"http://{HOST}:{port}/health/ready"),
            wanted=wanted,
        )
        return f"http://localhost:{port}"

    def _start_worker(self, settings: dict[str, str]) -> None:
        self._report("Starting the worker")
        self._run(
            "worker",
            "beta9_provisioning.worker",
            lambda port: {**settings, "WORKER_METRICS_PORT": str(port)},
            lambda _pid, port: answers(f"http://{HOST}:{port}/metrics"),
            grace=_WORKER_GRACE,
        )

    def _run(
        self,
        name: str,
        module: str,
        settings: Callable[[int], dict[str, str]],
        ready: Callable[[int, int], bool],
        *,
        arguments: list[str] | None = None,
        wanted: int = 0,
        grace: float = _SERVER_GRACE,
    ) -> int:
        """Run a module as a member of the stack; return its port."""
        log = self.logs / f"{name}.log"
        command = [sys.executable, "-m", module, *(arguments or [])]
        child, port = start_on_port(
            name, lambda port: self._spawn(command, settings(port), log), ready, log, wanted
        )
        self._add(name, ProcessRef.of(child.pid), port=port, log=log, stop=signal.SIGTERM, grace=grace)
        return port

    def _spawn(self, command: list[str], settings: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        # In the stack's directory, so that a .env in the checkout does not mix in.
        return spawn(command, settings, cwd=self.directory, log=log, tied=self._tied)

    def _migrate(self, settings: dict[str, str]) -> None:
        self._report("Preparing the database")
        log = self.logs / "db-init.log"
        command = [sys.executable, "-m", "beta9_provisioning.operations.records.migrate"]
        child = self._spawn(command, settings, log)
        try:
            code = child.wait(_MIGRATION_SECONDS)
        except BaseException:
            child.kill()
            child.wait()
            raise
        if code != 0:
            raise ServiceError(f"`db init` failed with exit code {code}:\n{log.read_text()}")

    def _add(
        self,
        name: str,
        process: ProcessRef,
        *,
        port: int,
        log: Path,
        stop: signal.Signals,
        grace: float = _SERVER_GRACE,
    ) -> None:
        self._state.members.append(
            Member(name, process.pid, process.started, port, str(log), stop.name, grace)
        )
        self._state.save(self.directory)  # at once, so that nothing is forgotten when this process is killed

    def _end(self, state: State) -> None:
        """Stop the members, later ones first because they need the earlier ones, and delete the data."""
        for member in reversed(state.members):
            if member.reference.is_running():
                self._report(f"Stopping {member.name}")
                if not member.stop():
                    self._report(f"{member.name} did not stop within {member.grace_seconds:.0f} s: killed")
        forget(self.directory)
        for path in (data_directory(self.directory), *(self.directory / name for name in _DATA)):
            if path.exists():
                shutil.rmtree(path)
