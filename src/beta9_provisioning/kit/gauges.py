"""Gauges that add up over processes that count together."""

from prometheus_client import CollectorRegistry, Gauge


def summed_gauge(name: str, meaning: str, registry: CollectorRegistry) -> Gauge:
    """Return a gauge that is 0: a process that takes another's place goes on in its file."""
    gauge = Gauge(name, meaning, registry=registry, multiprocess_mode="sum")
    gauge.set(0)
    return gauge
