"""Dispatch: how long an idle worker takes from the request to the first step.

Each sample is an environment whose role cannot be assumed, so that its first step ends at once and the
worker is idle again. Measured from the operation's `created_at`, which is before the 202 is sent, to the
`step.started` event of the first step, by the clock of one machine; so the figure is an upper bound.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.figures import Figure, Row
from benchmarks.processes import BenchmarkFailed
from benchmarks.stacks import example, running_stack, wait_until_over
from beta9_provisioning.client.client import Client

_SAMPLES, _QUICK_SAMPLES = 120, 20
_AIM_MS = 100.0
# Longer than any wait of an idle worker between two looks into the queue, and of random length so that the
# samples do not fall into step with it.
_IDLE_SECONDS = (0.2, 0.5)


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return p50 and p99 in milliseconds.

    Raises:
        BenchmarkFailed: an operation did not fail as it should.
    """
    count = _QUICK_SAMPLES if quick else _SAMPLES
    with running_stack(time_scale=0) as stack:
        _sample(stack.client, "warm-up")
        report(f"{count} operations on an idle worker")
        samples = []
        for number in range(count):
            time.sleep(random.uniform(*_IDLE_SECONDS))
            samples.append(_sample(stack.client, f"dispatch-{number}"))
    return [
        Row("request to first step, p50", Figure.percentile(samples, 50, "ms")),
        Row("request to first step, p99", Figure.percentile(samples, 99, "ms"), aim=_AIM_MS),
    ]


def _sample(client: Client, name: str) -> float:
    """Return the milliseconds to the first step of one operation."""
    config = example() | {"name": name}
    config["cloud"] = config["cloud"] | {"external_id": "b9-this-is-another-one"}
    created = client.create(config)
    over = wait_until_over(client, created.environment_id)
    if over.error is None or over.error.code != "role_refused":
        raise BenchmarkFailed(f"the role should have been refused, but: {over.error or over.status}")
    for event in client.events(created.environment_id):
        if event.type == "step.started":
            return (event.at - over.operation.created_at).total_seconds() * 1000
    raise BenchmarkFailed("no step was started")
