"""The product's worker in the simulated world, put together as its `__main__` does, and what it is given."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.clouds.cloud import Account, Cloud
from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.engine.helm.helm import Helm
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import STACK_FILE, stack_directory
from beta9_provisioning.engine.terraform.errors import Rule
from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.engine.tool_ports import HelmPort, KubernetesPort, TerraformPort
from beta9_provisioning.kit.background import failed
from beta9_provisioning.kit.database import Sessions, hasten, sessions
from beta9_provisioning.kit.queue import ACTOR
from beta9_provisioning.kit.runtime import Event
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records.leases import Observer
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.runner import Runner, Unfinished
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.operations.workflows import workflow_of
from beta9_provisioning.schemas.configuration import Cloud as CloudSection
from beta9_provisioning.schemas.configuration import Provider
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.poller import Poller
from beta9_provisioning.worker.reconciler import Reconciler
from beta9_provisioning.worker.worker import Worker
from simulation.account import SimulatedAccount
from simulation.baton import Baton, Process
from simulation.catalog import KINDS
from simulation.children import Launching
from simulation.cluster import SimulatedKubernetes
from simulation.database import Database
from simulation.helm import HelmRun
from simulation.hints import Hints, SimulatedQueue
from simulation.host import SimulatedEvent
from simulation.terraform import TerraformRun
from simulation.world import World

_SAMPLE = CLOUDS[Provider.AWS].sample()
_BARE = CLOUDS[Provider.AWS].bare_stack(_SAMPLE.config.cloud, "env_0000000000000000", _SAMPLE.backend)
_IDLE_SECONDS = 5.0


class SimulatedTools:
    """Implements `operations.run.toolbox.Tools`: the product's own classes on simulated commands."""

    def __init__(self, world: World, lease_seconds: float) -> None:
        self._world = world
        self._run = Launching(world, {"terraform": TerraformRun, "helm": HelmRun}, lease_seconds / 2)

    def account(
        self,
        cloud: Cloud,  # noqa: ARG002
        place: CloudSection,  # noqa: ARG002
        environment_id: str,
        *,
        settings: Settings,  # noqa: ARG002
        stop: Event,
    ) -> Account:
        """Return the account of an environment."""
        return SimulatedAccount(self._world, environment_id, stop)

    def terraform(
        self,
        *,
        binary: Path | str,
        directory: Path,
        env: Mapping[str, str],
        stop: Event,
        on_event: Callable[[TerraformEvent], None],
        rules: Sequence[Rule],
        grace: float,
    ) -> TerraformPort:
        """Return Terraform in a directory."""
        return Terraform(
            binary=binary,
            directory=directory,
            env=env,
            stop=stop,
            on_event=on_event,
            rules=rules,
            grace=grace,
            run=self._run,
        )

    def helm(
        self,
        *,
        binary: Path | str,
        directory: Path,
        kubeconfig: Callable[[], str],
        env: Mapping[str, str],
        stop: Event,
        chart_source: str,
    ) -> HelmPort:
        """Return Helm against a cluster."""
        return Helm(
            binary=binary,
            directory=directory,
            kubeconfig=kubeconfig,
            env=env,
            stop=stop,
            chart_source=chart_source,
            run=self._run,
        )

    def kubernetes(self, access: ClusterAccess, stop: Event) -> KubernetesPort:
        """Return the API of a cluster."""
        environment = access.endpoint.removeprefix("https://").removesuffix(".invalid")
        return SimulatedKubernetes(self._world, environment, stop)


class SimulatedSynthesizer:
    """Implements `operations.run.toolbox.SynthesizerPort` with the stack of the catalog."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton

    def synthesize(self, subject: Subject, outdir: Path, stop: Event) -> Path:  # noqa: ARG002
        """Write the stack."""
        self._baton.pause("synthesize")
        self._baton.sleep(0.3)
        directory = stack_directory(outdir)
        directory.mkdir(parents=True, exist_ok=True)
        resources: dict[str, dict[str, object]] = {}
        for kind in KINDS.values():
            resources.setdefault(kind.type, {})[kind.address.split(".", 1)[1]] = {}
        document = {**_BARE, "resource": resources}
        (directory / STACK_FILE).write_text(json.dumps(document, sort_keys=True))
        return directory


@dataclass
class Work:
    """A process that works on an attempt, until `ended` (seconds since the start) at the latest."""

    process: Process
    ended: float = float("inf")


class AttemptRunner(Runner):
    """The product's runner; what a thread does for an attempt is known as that attempt's."""

    def __init__(
        self, machinery: "Machinery", factory: Sessions, settings: Settings, tools: SimulatedTools
    ) -> None:
        self._baton = baton = machinery.baton
        super().__init__(factory, settings, SimulatedSynthesizer(baton), workflow_of, tools=tools)
        self._works = machinery.works

    def run(self, claim: Claim, stop: Stop) -> OperationStatus | Unfinished:
        """Run it."""
        task = self._baton.current
        before, task.tag = task.tag, f"{task.process.name}/{claim.operation_id}/{claim.attempt}"
        self._baton.note(f"attempt {task.tag} of {claim.environment_id}")
        work = self._works[claim.operation_id, claim.attempt] = Work(task.process)
        try:
            return super().run(claim, stop)
        finally:
            task.tag = before
            work.ended = self._baton.now


@dataclass
class Machinery:
    """What all processes of one history share.

    Attributes:
        observer: makes who judges other workers; mutants have theirs.
        works: which process works on an attempt until when, by operation and number.
    """

    baton: Baton
    database: Database
    hints: Hints
    world: World
    settings: Settings
    observer: Callable[[Engine, float], Observer] = Observer
    works: dict[tuple[str, int], Work] = field(default_factory=dict)


class WorkerProcess:
    """One worker from its start to its end.

    Attributes:
        process: as the baton knows it.
    """

    def __init__(self, machinery: Machinery, name: str, place: Path, rate: float) -> None:
        self._machinery = machinery
        self._baton = machinery.baton
        self._place = place
        self._told = SimulatedEvent(machinery.baton)
        self._worker: Worker | None = None
        self.process = Process(name, rate)
        self.began = machinery.baton.now

    def start(self) -> None:
        """Start the process."""
        self._baton.begin("main", self.process, self._main, tag=self.process.name)

    def tell_to_stop(self) -> None:
        """Send it SIGTERM."""
        if self.process.alive:
            self._baton.note(f"SIGTERM {self.process.name}")
            self._told.set()

    def _main(self) -> None:
        try:
            self._serve()
        except SQLAlchemyError:
            self._baton.note("the database is away: the worker does not start")
        self._baton.note("exit")
        self._baton.kill(self.process)

    def _serve(self) -> None:
        machinery, settings = self._machinery, self._machinery.settings
        settings = settings.model_copy(update={"workdir_base": self._place})
        threads = settings.worker_threads
        engine = machinery.database.engine(self.process, 2 * threads + 4)
        factory = sessions(engine)
        queue = SimulatedQueue(machinery.hints)
        tools = SimulatedTools(machinery.world, settings.lease_seconds)
        self._worker = worker = Worker(
            engine,
            factory,
            queue,
            AttemptRunner(machinery, factory, settings, tools),
            Metrics(threads),
            actor=ACTOR,
            lease_seconds=settings.lease_seconds,
            give_up=self._give_up,
            slots=threads,
            most_of_one=settings.max_running_operations_per_user,
        )
        observer = machinery.observer(engine, settings.lease_seconds)
        reconciler = Reconciler(
            observer,
            factory,
            queue,
            ACTOR,
            interval=settings.reconcile_seconds,
            queue_minutes=settings.queue_timeout_minutes,
            most_of_one=settings.max_running_operations_per_user,
        )
        poller = Poller(worker, queue)
        worker.heartbeat.start()
        reconciler.start()
        poller.start()
        consumers = [
            self._baton.begin(f"job-{number}", self.process, self._consume) for number in range(threads)
        ]
        self._told.wait()
        worker.shut_down()
        hasten(engine)
        reconciler.stop()
        until = self._baton.now + settings.shutdown_seconds
        for consumer in consumers:
            if not consumer.is_over and consumer.over is not None:
                self._baton.wait([consumer.over], until - self._baton.now)
        poller.stop(max(0.0, until - self._baton.now))
        worker.heartbeat.stop()
        queue.close()

    def _consume(self) -> None:
        hints = self._machinery.hints
        worker = self._worker
        assert worker is not None
        while not self._told.is_set():
            operation_id = hints.take(_IDLE_SECONDS)
            if operation_id is None:
                continue
            try:
                worker.run(operation_id)
            except Exception as error:  # noqa: BLE001  as the actor does
                failed("operation", error, operation_id=operation_id)

    def _give_up(self) -> None:
        self._baton.note("gave up")
        self._baton.kill(self.process)
        self._baton.check()
