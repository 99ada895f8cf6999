"""Tables of the documents that are derived from the code: the configuration's fields, and the metrics."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine

from beta9_provisioning.api import figures
from beta9_provisioning.api.metrics import RequestThreads
from beta9_provisioning.api.telemetry import RequestMetrics
from beta9_provisioning.environments.statistics import Durations, Ends, Statistics, Work
from beta9_provisioning.kit.background import FAILURES
from beta9_provisioning.kit.pool_metrics import count_connections
from beta9_provisioning.schemas.configuration import json_schema
from beta9_provisioning.worker.metrics import Metrics as WorkerMetrics

_METRICS_HEAD = """\
# Metrics

The API serves its metrics at `/metrics`, a worker at `/metrics` of `WORKER_METRICS_PORT`. No label holds a
name or an id, so that the number of series does not grow with the environments. This page is derived from the
code that serves them.

## Figures of database and queue

Each replica of the API reports the same, whatever has started or ended meanwhile: take their maximum (`max by
(...)`), never their sum. When the database is away, all but `provisioning_database_up` are absent. While a
schema of the release before is in use, what it does not count is absent, too.

"""
_METRICS_REPLICA = """
## Counts of each replica of the API

Of all its processes (`API_PROCESSES`) since its start: add replicas up. Status 499: the client hung up before
its answer.

"""
_METRICS_WORKER = """
## Counts of each worker

Of the process since its start: add workers up.

"""
_METRICS_TAIL = """
`work` of `provisioning_background_failures_total` is what failed, and goes on all the same. API: `hints` (to
the workers), `streams`, `metrics` (figures of the database). Workers: `heartbeat`, `lease-watch`,
`reconciler`, `recorder`, `claim`, `proof` (that an earlier attempt is over), `wake` (of what waited behind an
operation), `operation` (writing what was done), `pruner`, `signer` (of the audit log).
"""
_TYPE_NAMES = {"counter": "_total"}


def fields_table() -> str:
    """Return the fields of an environment's configuration as a table."""
    schema = json_schema()
    rows = [
        f"| `{path}` | {kind} | {default} | {meaning} |\n"
        for path, kind, default, meaning in _fields(schema, schema, "")
    ]
    return "| Field | Type | Default | Meaning |\n|---|---|---|---|\n" + "".join(rows)


def _fields(whole: dict[str, Any], part: dict[str, Any], above: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in part["properties"].items():
        path = f"{above}{name}"
        target = _target(whole, field)
        if "properties" in target:
            yield from _fields(whole, target, f"{path}.")
            continue
        meaning = field.get("description")
        assert meaning, f"the field {path} has no docstring"
        default = f"`{_literal(field['default'])}`" if "default" in field else ""
        yield path, _type(whole, field), "required" if name in part.get("required", ()) else default, meaning
        items = _target(whole, target.get("items", {}))
        if "properties" in items:
            yield from _fields(whole, items, f"{path}[].")


def _target(whole: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    name = field.get("$ref", "").rpartition("/")[2]
    return {**field, **whole["$defs"][name]} if name else field


def _type(whole: dict[str, Any], field: dict[str, Any]) -> str:
    target = _target(whole, field)
    if "anyOf" in target:
        return " or ".join(_type(whole, one) for one in target["anyOf"])
    if "items" in target:
        return "list"
    return {"object": "map"}.get(target["type"], str(target["type"]))


def _literal(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def metrics_page() -> str:
    """Return docs/metrics.md."""
    # Connected to nothing: only its pool is asked for its size.
    engine = create_engine("postgresql+psycopg://")
    replica, worker = CollectorRegistry(), WorkerMetrics().registry
    RequestMetrics(replica)
    RequestThreads(replica)
    replica.register(FAILURES)
    count_connections(engine, replica)
    count_connections(engine, worker)
    shared = [*figures.of_database(_NOTHING), *figures.of_queue(0), figures.database_up(True)]
    return "".join(
        (
            _METRICS_HEAD,
            _metrics_table(shared),
            _METRICS_REPLICA,
            _metrics_table(_collectors(replica)),
            _METRICS_WORKER,
            _metrics_table(_collectors(worker)),
            _METRICS_TAIL,
        )
    )


def _collectors(registry: CollectorRegistry) -> list[Any]:
    return list(registry._collector_to_names)


def _metrics_table(metrics: Iterable[Any]) -> str:
    rows = sorted(_metric(metric) for metric in metrics)
    return "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n" + "".join(
        f"| `{name}` | {kind} | {labels} | {meaning} |\n" for name, kind, labels, meaning in rows
    )


def _metric(metric: Any) -> tuple[str, str, str, str]:
    """Return name, type, labels and meaning of a collector, or of a family that was collected."""
    kind = getattr(metric, "type", None) or metric._type
    name = getattr(metric, "name", None) or metric._name
    labels: Sequence[str] = metric._labelnames
    meaning = getattr(metric, "documentation", None) or metric._documentation
    return name + _TYPE_NAMES.get(kind, ""), kind, ", ".join(f"`{label}`" for label in labels), meaning


_NOTHING = Statistics(
    entered={}, oldest={}, durations={}, live_workers=0, work=Work({}, 0, 0, 0.0),
    ends=Ends(present={}, operations={}, attempts={}, ready=Durations([], 0, 0.0)),
)  # fmt: skip
