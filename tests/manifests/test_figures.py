"""Autoscalers ask for figures that API and workers export, under the labels by which they are selected."""

from __future__ import annotations

import asyncio
import re

from prometheus_client import generate_latest
from sqlalchemy import Engine
from tests.support.exposition import samples_of
from tests.support.manifests import find, objects

from beta9_provisioning.api.metrics import Metrics as ApiMetrics
from beta9_provisioning.kit.queue import Queue
from beta9_provisioning.worker.metrics import Metrics as WorkerMetrics

WORKER = "provisioning-worker"


def test_every_figure_is_exported_by_api_or_worker(engine: Engine, database_url: str, queue: Queue) -> None:
    api = ApiMetrics(engine, database_url, queue, None)
    own = generate_latest(WorkerMetrics(4).registry)
    samples = [sample for page in (asyncio.run(api.page()), own) for sample in samples_of(page.decode())]
    api.close()
    exported = {sample.name for sample in samples}
    (trigger,) = find(objects("autoscaling-keda.yaml"), "ScaledObject", WORKER)["spec"]["triggers"]
    asked = set(re.findall(r"provisioning_\w+", trigger["metadata"]["query"]))
    assert asked
    assert asked <= exported

    metrics = find(objects("autoscaling.yaml"), "HorizontalPodAutoscaler", WORKER)["spec"]["metrics"]
    selected = next(m["external"]["metric"] for m in metrics if "selector" in m["external"]["metric"])
    (length,) = [sample for sample in samples if sample.name == selected["name"]]
    assert selected["selector"]["matchLabels"].items() <= length.labels.items()
