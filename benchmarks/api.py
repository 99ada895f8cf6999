"""The API: requests per second and p99 of create, get and list on one process, with 1,000 environments.

The load comes from another process (`loader.py`) on the same machine: API, PostgreSQL and load share its
processors. There is no worker, and PostgreSQL runs with its own, durable defaults. `GET /health`, which needs
neither database nor queue, is the baseline of the same round: what a request costs that does nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Row, percentile
from benchmarks.processes import BenchmarkFailed, run
from benchmarks.stacks import ROOT, scratch
from beta9_provisioning.local.ports import HOST
from beta9_provisioning.local.postgres import DURABLE
from beta9_provisioning.local.servers import answers, end, spawn, start_on_port
from beta9_provisioning.local.services import embedded_postgres, embedded_valkey

_ENVIRONMENTS = 1000
_CLIENTS = (1, 8, 32)
_READS = ("get", "list")

Cell = tuple[str, int]
"""What is requested, and by how many clients at once."""


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return requests per second and p99 in milliseconds of each endpoint and number of clients.

    Raises:
        BenchmarkFailed: an answer was not as it should be.
    """
    rounds, seconds = (1, 1.0) if quick else (3, 4.0)
    rates: defaultdict[Cell, list[float]] = defaultdict(list)
    slowest: defaultdict[Cell, list[float]] = defaultdict(list)

    def take(what: str, clients: int, prefix: str) -> None:
        found = _load(url, what, clients, seconds, prefix)
        rates[what, clients].append(found["requests"] / found["seconds"])
        slowest[what, clients].append(percentile(found["latencies_ms"], 99))

    with _api() as url:
        report(f"making {_ENVIRONMENTS} environments")
        _fill(url)
        # Creating comes last, so that the others see just as many environments in every round.
        for whats in (("health", *_READS), ("create",)):
            for number in range(rounds):
                report(f"{', '.join(whats)}: round {number + 1} of {rounds}")
                for clients in _CLIENTS:
                    for what in whats:
                        take(what, clients, f"{what}-{number}-{clients}")
    return [row for cell in rates if cell[0] != "health" for row in _rows(cell, rates, slowest)]


def _rows(cell: Cell, rates: dict[Cell, list[float]], slowest: dict[Cell, list[float]]) -> list[Row]:
    what, clients = cell
    title = f"{what}, {clients} client{'s' if clients > 1 else ''}"
    health = "health", clients
    return [
        Row(title, Figure.median(rates[cell], "1/s"), Figure.median(rates[health], "1/s")),
        Row("  p99", Figure.median(slowest[cell], "ms"), Figure.median(slowest[health], "ms")),
    ]


def _fill(url: str) -> None:
    """Create environments until there are as many as are wanted."""
    made = 0
    while made < _ENVIRONMENTS:
        made += _load(url, "create", 1, 1.0, f"filling-{made}")["requests"]


def _load(url: str, what: str, clients: int, seconds: float, prefix: str) -> dict[str, Any]:
    arguments = [url, what, str(clients), str(seconds), prefix]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = run(
        [sys.executable, "-m", "benchmarks.loader", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )
    document: dict[str, Any] = json.loads(done.output)
    if not document["requests"]:
        raise BenchmarkFailed(f"no request to {what} was answered within {seconds:g} s")
    return document


@contextmanager
def _api() -> Iterator[str]:
    """Run PostgreSQL, Valkey and one API process; give its URL."""
    with scratch() as directory, embedded_postgres(DURABLE) as database_url, embedded_valkey() as redis_url:
        settings = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "API_HOST": HOST}
        migrate = [sys.executable, "-m", "beta9_provisioning.operations.records.migrate"]
        run(migrate, cwd=directory, env=settings)
        log = Path(directory, "api.log")
        child, port = start_on_port(
            "api",
            lambda port: spawn(
                [sys.executable, "-m", "beta9_provisioning.api"],
                {**settings, "API_PORT": str(port)},
                cwd=directory,
                log=log,
                tied=True,
            ),
            lambda _pid, port: answers(f"http://{HOST}:{port}/health/ready"),
            log,
        )
        try:
            yield f"http://{HOST}:{port}"
        finally:
            end(child, signal.SIGTERM)
