"""`python -m beta9_provisioning.worker`: one process that runs operations until it is told to stop."""

import os
import sys
from datetime import timedelta

import dramatiq
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import start_http_server
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.audit.signatures import KeyUnusable, read_private_key
from beta9_provisioning.clouds.registry import child_variables, preload
from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.processes import watchdog
from beta9_provisioning.engine.processes.child_variables import ignored
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer
from beta9_provisioning.kit import logs, runtime, tracing
from beta9_provisioning.kit.database import DatabaseUnavailable, hasten
from beta9_provisioning.kit.database_errors import describe
from beta9_provisioning.kit.listening import cannot_listen
from beta9_provisioning.kit.orphans import start_reaping
from beta9_provisioning.kit.pool_metrics import count_connections
from beta9_provisioning.kit.queue import ACTOR, Queue, make_broker
from beta9_provisioning.kit.signals import StopSignal, stop_signals
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.leases import Observer
from beta9_provisioning.operations.records.sessions import get_engine, get_sessions
from beta9_provisioning.operations.run.runner import Runner
from beta9_provisioning.operations.run.toolbox import GENUINE
from beta9_provisioning.operations.workflows import workflow_of
from beta9_provisioning.settings import Settings, run_or_explain
from beta9_provisioning.worker.actors import register
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.poller import Poller
from beta9_provisioning.worker.preflight import problems
from beta9_provisioning.worker.pruner import Pruner
from beta9_provisioning.worker.reconciler import Reconciler
from beta9_provisioning.worker.signer import Signer
from beta9_provisioning.worker.worker import Worker

log = structlog.get_logger(__name__)

# How long an idle worker waits before it looks into Redis again, in milliseconds.
_IDLE_MS = 40


def main(settings: Settings) -> int:
    """Run the worker; returns its exit code."""
    logs.configure(settings.log_level, settings.log_format)
    with stop_signals() as told:
        start_reaping()
        try:
            _check(settings)
            _check_database()
            tracing.configure(settings.collector("provisioning-worker"))
            signing_key = _signing_key(settings)
            with new_synthesizer() as synthesizer:
                _serve(settings, synthesizer, signing_key, told)
        except (_NotReady, DatabaseUnavailable, KeyUnusable) as error:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201
            return 1
        except SQLAlchemyError as error:
            print(f"error: {describe(error)}", file=sys.stderr)  # noqa: T201
            return 1
        finally:
            tracing.shut_down()
    return 0


class _NotReady(Exception):
    """This machine or database is not fit for a worker; the message says why, one sentence a line."""


def _check(settings: Settings) -> None:
    """Look at the machine before the first operation.

    Raises:
        _NotReady: no operation could succeed here.
    """
    if names := [
        name for name in ignored(os.environ, child_variables()) if name.lower() not in Settings.model_fields
    ]:
        log.warning("variables_ignored", names=names, detail="Terraform and Helm do not get them.")
    found = problems(settings)
    for problem in found:
        if not problem.is_fatal:
            log.warning("worker_problem", detail=problem.message)
    fatal = [problem.message for problem in found if problem.is_fatal]
    if fatal:
        raise _NotReady("\n".join(fatal))


def _check_database() -> None:
    """See that the database works, keeps sessions and fits this program.

    Raises:
        _NotReady: the schema is of another release.
        DatabaseUnavailable: it does not work, or not for leases.
    """
    misfit = schema.inspect(get_engine())
    if misfit is not None:
        raise _NotReady(misfit.message)


def _serve_metrics(settings: Settings, metrics: Metrics) -> None:
    """Take the port of the metrics, unless it is 0.

    Raises:
        _NotReady: it is not to be had.
    """
    host, port = settings.worker_metrics_host, settings.worker_metrics_port
    if port:
        try:
            start_http_server(port, addr=host, registry=metrics.registry)
        except OSError as error:
            raise _NotReady(cannot_listen("WORKER_METRICS", host, port, error)) from error


def _signing_key(settings: Settings) -> Ed25519PrivateKey | None:
    """Return the key that signs the audit log, if there is one.

    Raises:
        KeyUnusable: the file holds none.
    """
    path = settings.audit_signing_key_file
    return None if path is None else read_private_key(path)


def _serve(
    settings: Settings, synthesizer: Synthesizer, signing_key: Ed25519PrivateKey | None, told: StopSignal
) -> None:
    metrics = Metrics(settings.worker_threads)
    count_connections(get_engine(), metrics.registry)
    queue = Queue(settings.redis_url)
    factory = get_sessions()
    worker = Worker(
        get_engine(),
        factory,
        queue,
        Runner(factory, settings, synthesizer, workflow_of, metrics.observe_step, tools=GENUINE),
        metrics,
        actor=ACTOR,
        lease_seconds=settings.lease_seconds,
        give_up=lambda: _end(told),
        slots=settings.worker_threads,
        most_of_one=settings.max_running_operations_per_user,
    )
    observer = Observer(get_engine(), settings.lease_seconds)
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
    pruner = Pruner(factory, timedelta(days=settings.event_retention_days))
    signer = Signer(factory, signing_key, settings.audit_signing_seconds)
    broker = make_broker(settings.redis_url)
    register(broker, worker)
    consumer = dramatiq.Worker(broker, worker_threads=settings.worker_threads, worker_timeout=_IDLE_MS)
    # Fetch no more than can run, so that the list's length is the true backlog.
    consumer.queue_prefetch = settings.worker_threads

    # What it has started is asked to stop when its own lease-watch would have asked, were it not frozen.
    watchdog.start(settings.lease_seconds / 2)
    # Before anything is claimed: the port may be taken.
    _serve_metrics(settings, metrics)
    worker.heartbeat.start()
    reconciler.start()
    pruner.start()
    signer.start()
    consumer.start()
    poller.start()
    runtime.thread(preload, name="preload", daemon=True).start()
    log.info("worker_started", worker=worker.name, threads=settings.worker_threads)
    told.wait()
    # A message that is taken from now on is dropped: another worker's reconciler sends its hint again.
    worker.shut_down()
    hasten(get_engine())
    log.info("shutting_down")
    reconciler.stop()
    pruner.stop()
    signer.stop()
    until = runtime.monotonic() + settings.shutdown_seconds
    consumer.stop(timeout=int(settings.shutdown_seconds * 1000))
    poller.stop(max(0.0, until - runtime.monotonic()))
    worker.heartbeat.stop()
    queue.close()
    log.info("worker_stopped", worker=worker.name)


def _end(told: StopSignal) -> None:
    """End at once: the operations have been stopped, and leases can neither be renewed nor taken any more."""
    if told.wait(0):
        log.warning("stopped_without_leases", detail="What became of its operations could not be written.")
    else:
        sentence = "This worker cannot renew its leases any more, so it ends. Start it again."
        print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
