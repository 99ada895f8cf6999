"""The one job: run an operation. The message carries its id and nothing else."""

import dramatiq

from beta9_provisioning.kit.background import failed
from beta9_provisioning.kit.queue import ACTOR, QUEUE
from beta9_provisioning.worker.worker import Worker

# Dramatiq's own time limit cannot interrupt a system call; the steps have deadlines of their own.


def register(broker: dramatiq.Broker, worker: Worker) -> None:
    """Declare the actor on a broker; `worker` does the work."""

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name=ACTOR)
    def run_operation(operation_id: str) -> None:
        try:
            worker.run(operation_id)
        except Exception as error:  # noqa: BLE001  Dramatiq would only log it; its attempt ends with its lease
            failed("operation", error, operation_id=operation_id)
