"""The API's processes: started from a checkout or from the first release, on a database of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from scripts.releases import OURS, Program

from benchmarks.processes import cpu_seconds, run
from beta9_provisioning.local.ports import HOST
from beta9_provisioning.local.servers import answers, end, spawn, start_on_port


@dataclass(frozen=True)
class Side:
    """What is started.

    Attributes:
        name: of its database and its log.
        program: ours, or that of a release.
        processes: how many processes serve.
        settings: of these alone.
    """

    name: str
    program: Program = OURS
    processes: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Api:
    """An API that serves.

    Attributes:
        url: its address.
        pid: its process, or the parent of its processes.
        database: address of its database.
        directory: where the logs are.
    """

    url: str
    pid: int
    database: str
    directory: Path

    def cpu_seconds(self) -> float:
        """Return the processor time that its processes have taken since their start."""
        return cpu_seconds(self.pid)


@contextmanager
def serving(side: Side, server: str, redis: str, directory: Path) -> Iterator[Api]:
    """Run one on a new database of a server, whose URL names another one."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(side.name)))
    database = server.rsplit("/", 1)[0] + f"/{side.name}"
    settings = {
        **os.environ,
        "PYTHONPATH": str(side.program.source),
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "API_HOST": HOST,
        "API_PROCESSES": str(side.processes),
        # Nobody is asked who he is: the first release has no authentication.
        "AUTH_MODE": "none",
        # The load comes from one address, and is more than one may send.
        "RATE_LIMIT_PER_ADDRESS": "0",
        **side.settings,
    }
    python = str(side.program.python)
    run([python, "-m", side.program.migrate], cwd=directory, env=settings)
    log = directory / f"{side.name}.log"
    child, port = start_on_port(
        "api",
        lambda port: spawn(
            [python, "-m", "beta9_provisioning.api"],
            {**settings, "API_PORT": str(port)},
            cwd=directory,
            log=log,
            tied=True,
        ),
        lambda _pid, port: answers(f"http://{HOST}:{port}/health/ready"),
        log,
    )
    try:
        yield Api(f"http://{HOST}:{port}", child.pid, database, directory)
    finally:
        end(child, signal.SIGTERM)
