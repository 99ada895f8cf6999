"""The worker's own metrics, served on WORKER_METRICS_PORT."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from beta9_provisioning.engine.processes.process import COMMANDS
from beta9_provisioning.kit.background import FAILURES
from beta9_provisioning.operations.run.runner import Step

_MINUTES = tuple(60.0 * m for m in (0.05, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120))


class Metrics:
    """Counters of this process since its start."""

    def __init__(self, slots: int = 1) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(FAILURES)
        self.registry.register(COMMANDS)
        Gauge(
            "provisioning_worker_slots",
            "Operations that this worker can run at the same time.",
            registry=self.registry,
        ).set(slots)
        self.running = Gauge(
            "provisioning_worker_operations_running",
            "Operations that this worker runs now.",
            registry=self.registry,
        )
        self.dispatch = Histogram(
            "provisioning_worker_dispatch_seconds",
            "Seconds from the request to the claim of an operation.",
            registry=self.registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
        )
        self.duration = Histogram(
            "provisioning_worker_operation_seconds",
            "Seconds that an attempt at an operation ran, by kind and outcome; lease_lost, handed_back: "
            "another attempt follows.",
            ["kind", "outcome"],
            registry=self.registry,
            buckets=_MINUTES,
        )
        self.leases_lost = Counter(
            "provisioning_worker_leases_lost_total",
            "Operations whose lease this worker lost while it ran them.",
            registry=self.registry,
        )
        self._steps = Histogram(
            "provisioning_worker_step_seconds",
            "Seconds that a step of an operation ran, by phase (the operation's status), step and outcome "
            "(succeeded or failed).",
            ["phase", "step", "outcome"],
            registry=self.registry,
            buckets=_MINUTES,
        )

    def observe_step(self, step: Step, seconds: float, *, succeeded: bool) -> None:
        """Count a step that has ended."""
        outcome = "succeeded" if succeeded else "failed"
        self._steps.labels(step.status, step.name, outcome).observe(seconds)
