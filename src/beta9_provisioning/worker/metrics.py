"""The worker's own metrics, served on WORKER_METRICS_PORT."""

from prometheus_client import CollectorRegistry, Gauge, Histogram

from beta9_provisioning.kit.background import FAILURES

_MINUTES = tuple(60.0 * m for m in (0.05, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120))


class Metrics:
    """Counters of this process since its start."""

    def __init__(self, slots: int = 1) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(FAILURES)
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
            "Seconds that an attempt at an operation ran.",
            ["kind", "outcome"],
            registry=self.registry,
            buckets=_MINUTES,
        )
