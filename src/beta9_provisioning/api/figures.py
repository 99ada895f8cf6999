"""The figures of database and queue as families of metrics; they are the same from every replica."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from beta9_provisioning.environments.statistics import Durations, Ends, Statistics
from beta9_provisioning.kit.queue import BACKLOG_KEY

_F = TypeVar("_F", CounterMetricFamily, GaugeMetricFamily)


def of_database(found: Statistics) -> Iterator[Metric]:
    """Return the figures of the database."""
    yield GaugeMetricFamily(
        "provisioning_live_workers",
        "Workers that live, busy or not; 0 means that nothing queued begins.",
        found.live_workers,
    )
    work = found.work
    yield GaugeMetricFamily(
        "provisioning_operations_waiting",
        "Queued operations that a worker could take now; those that wait for another one of their "
        "environment do not count.",
        work.waiting,
    )
    yield GaugeMetricFamily(
        "provisioning_operations_oldest_waiting_seconds",
        "Seconds since the oldest operation that a worker could take now was requested; 0 when none waits.",
        work.longest_wait,
    )
    yield GaugeMetricFamily(
        "provisioning_operations_running", "Operations that workers are at.", work.running
    )
    phases = GaugeMetricFamily(
        "provisioning_operations",
        "Unfinished operations by kind and phase (the operation's status); each pair is there, from 0.",
        labels=["kind", "phase"],
    )
    yield _filled(phases, work.phases.items())
    entered = CounterMetricFamily(
        "provisioning_environments",
        "Environments that entered a status, ever; each status is there, from 0.",
        labels=["status"],
    )
    yield _filled(entered, _single(found.entered))
    oldest = GaugeMetricFamily(
        "provisioning_environment_created_at",
        "Start (Unix seconds) of the oldest unfinished operation of the environments in this status; absent "
        "when there is none.",
        labels=["status"],
    )
    yield _filled(oldest, _single({status: at.timestamp() for status, at in found.oldest.items()}))
    duration = HistogramMetricFamily(
        "provisioning_duration_seconds",
        "Seconds from the start to the end of finished operations, by kind and outcome.",
        labels=["kind", "outcome"],
    )
    for labels, durations in found.durations.items():
        _histogram(duration, labels, durations)
    yield duration
    if found.ends is not None:
        yield from _of_ends(found.ends)


def _of_ends(found: Ends) -> Iterator[Metric]:
    """Return what a schema of an earlier release does not count: absent there, for a 0 would be untrue."""
    ends = CounterMetricFamily(
        "provisioning_operations_finished",
        "Operations that ended, ever, by kind, outcome (succeeded, failed or cancelled) and reason, which is "
        "empty after success; each triple is there, from 0.",
        labels=["kind", "outcome", "reason"],
    )
    yield _filled(ends, found.operations.items())
    attempts = CounterMetricFamily(
        "provisioning_attempts",
        "Attempts of workers that ended, ever, by outcome: succeeded, or the reason; worker_lost are leases "
        "that were lost. Each outcome is there, from 0.",
        labels=["outcome"],
    )
    yield _filled(attempts, _single(found.attempts))
    present = GaugeMetricFamily(
        "provisioning_environments_current",
        "Environments that are in a status now; each status is there, from 0.",
        labels=["status"],
    )
    yield _filled(present, _single(found.present))
    ready = HistogramMetricFamily(
        "provisioning_time_to_ready_seconds",
        "Seconds from the request to the end of provisions that succeeded, the wait for a worker included.",
        labels=[],
    )
    _histogram(ready, [], found.ready)
    yield ready


def _filled(family: _F, samples: Iterable[tuple[tuple[str, ...], float]]) -> _F:
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _single(values: Mapping[str, float]) -> Iterator[tuple[tuple[str, ...], float]]:
    return (((label,), value) for label, value in values.items())


def _histogram(family: HistogramMetricFamily, labels: Iterable[str], found: Durations) -> None:
    buckets = [(str(float(bound)), count) for bound, count in found.buckets]
    family.add_metric(list(labels), [*buckets, ("+Inf", found.count)], found.total)


def of_queue(length: int | None) -> Iterator[Metric]:
    """Return the figures of the queue; None: it did not answer."""
    yield GaugeMetricFamily(
        "provisioning_queue_up", "1 when the queue answered this scrape.", float(length is not None)
    )
    # A Kubernetes label selector accepts no colon: autoscalers select by the second label.
    family = GaugeMetricFamily(
        "redis_queue_length",
        "Messages in the queue; absent when it is away.",
        labels=["queue", "queue_name"],
    )
    if length is not None:
        family.add_metric([BACKLOG_KEY, BACKLOG_KEY.replace(":", ".")], length)
    yield family


def database_up(is_up: bool) -> Metric:
    """Tell whether the database answered."""
    return GaugeMetricFamily(
        "provisioning_database_up",
        "1 when the database answered this scrape, be it by refusing the figures.",
        float(is_up),
    )
