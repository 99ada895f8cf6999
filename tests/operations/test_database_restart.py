"""PostgreSQL is restarted in the middle of an apply: Terraform runs on, and nothing is lost."""

import os
import threading

from tests.operations.bench import CONFIG, Bench
from tests.operations.rows import events, make_environment, operation, status
from tests.support.postgres import own_servers
from tests.support.process_tree import descendants
from tests.support.proxy import proxy_to
from tests.support.waiting import until
from tests.worker.rig import nothing

from beta9_provisioning.kit.database import connect
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.operations.run.runner import Runner
from beta9_provisioning.operations.run.toolbox import GENUINE
from beta9_provisioning.operations.workflows import workflow_of
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.worker import Worker


def terraforms() -> set[int]:
    """The applies below this process."""
    below = descendants(os.getpid())
    return {pid for pid, line in below.items() if " apply -json" in line and "launcher.py" not in line}


def test_a_restart_of_the_database_stops_no_terraform_and_what_came_meanwhile_is_written(
    bench: Bench, queue: Queue
) -> None:
    bench.world.delay("aws_db_instance", 3600.0)
    with own_servers() as servers, proxy_to(servers.primary.url) as proxy:
        engine = connect(proxy.url)
        bench.sessions = session_factory(engine)
        worker = Worker(
            engine,
            bench.sessions,
            queue,
            Runner(bench.sessions, bench.settings, bench.synthesizer, workflow_of, tools=GENUINE),
            Metrics(),
            actor=ACTOR,
            lease_seconds=600.0,
            give_up=nothing,
        )
        worker.heartbeat.start()
        made = make_environment(bench.sessions, CONFIG)
        running = threading.Thread(target=worker.run, args=(made.operation_id,))
        running.start()

        def told(phase: str) -> set[str]:
            resources = bench.history(made, "terraform.resource")
            return {data["address"] for data in resources if data["phase"] == phase}

        until(lambda: "aws_db_instance.main" in told("start"), "the database is being created")
        before = terraforms()
        assert before
        servers.primary.stop()
        bench.world.finish("aws_db_instance")
        servers.primary.start()
        assert terraforms() <= before
        proxy.lead_to(servers.primary.url)
        running.join()
        worker.heartbeat.stop()
        row = operation(bench.sessions, made.operation_id)
        assert (row.status, row.attempts) == ("succeeded", 1), row.error
        assert status(bench.sessions, made.environment_id) == "ready"
        assert "aws_db_instance.main" in told("complete")
        numbers = [number for number, _, _ in events(bench.sessions, made.environment_id)]
        assert numbers == list(range(1, len(numbers) + 1))
        bench.must_destroy(made)
        engine.dispose()
